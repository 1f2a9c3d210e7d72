"""The peers, each in an environment of its own below `.bench/`; one that cannot be installed is named, not guessed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {
    "bentoml": ["bentoml==1.4.39", "uv", "pip"],
    # 0.3.2 does not declare uvicorn and pkg_resources, though it imports both
    "ai-dynamo": ["ai-dynamo==0.3.2", "ai-dynamo-runtime==0.3.2", "uvicorn", "setuptools<81"],
    "ai-dynamo-1": ["ai-dynamo-runtime==1.6.1", "pydantic", "uvloop"],
    "ray": ["ray[serve]>=2.40"],
    "granian": ["granian[uvloop]>=2"],
    "truss": ["truss==0.18.35"],
}


def environment_of(peer: str) -> Path | None:
    """The peer's `bin` folder, installed when absent; None when it cannot be had."""
    folder = ROOT / ".bench" / peer
    ready = folder / ".ready"
    if ready.exists():
        return folder / "bin"
    uv = Path(sys.executable).parent / "uv"
    print(f"installing {peer} below .bench/ (once)", file=sys.stderr)
    for command in (
        [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(folder / "bin" / "python"),
            *PACKAGES[peer],
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{peer} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
    ready.touch()
    return folder / "bin"
