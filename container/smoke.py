"""Try the base image from within, as any user, without network, on a read-only root: nothing but what users rely on."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path


def main() -> None:
    """Fails with the first thing that is not as the labels say."""
    labels = json.loads(os.environ.get("EXPECTED_LABELS") or "{}")
    python = json.loads(labels["dynamo.python"])
    assert python["version"] == ".".join(map(str, sys.version_info[:3])), sys.version
    assert python["executable"] == sys.executable, sys.executable
    assert python["site"] == sysconfig.get_path("purelib"), sysconfig.get_path("purelib")
    for package in json.loads(labels["dynamo.packages"]):
        assert metadata.version(package["name"]) == package["version"], package
    for tool in ("nats-server", "uv"):
        assert subprocess.run([str(shutil.which(tool)), "--version"], capture_output=True, check=True).stdout, tool
    assert subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=True).stdout
    assert os.getuid() != 0 and Path.home().is_dir()
    tempfile.TemporaryFile().close()
    wanted = ["dynamo.sdk", "dynamo.worker", "dynamo.supervisor", "pydantic", "uvicorn", "msgspec", "nats"]
    if labels["dynamo.framework"] == "vllm":
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        wanted.append("vllm")
    for module in wanted:
        importlib.import_module(module)
    compiled = list(Path(python["site"], "pydantic/__pycache__").glob("*.pyc"))
    assert compiled and compiled[0].read_bytes()[4] == 1, "the bytecode is not of the kind that is never checked"
    print(
        f"smoke: {len(json.loads(labels['dynamo.packages']))} packages, {', '.join(wanted)} imported as {os.getuid()}"
    )


main()
