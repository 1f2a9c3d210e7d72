"""A bento to be turned into images again and again: hello world with some packages, in a store of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DYNAMO = [sys.executable, "-m", "dynamo_build"]
LINE = 'echo "# $(date +%s%N)" >> src/hello_world.py'
PARTS = ("REGISTRY", "TEST_BASE_IMAGE", "DOCKER_HOST")
_INSTALL = "RUN python -m pip install --no-deps --require-hashes --no-compile --no-cache-dir"
_CACHED = (
    "RUN --mount=type=cache,id=bench-pip,target=/root/.cache/pip "
    "python -m pip install --no-deps --require-hashes --no-compile"
)
#: Run in a process of its own, so that its memory is not ours: what every builder has to do with the bytes of layers.
FLOOR = """
import hashlib, sys, time, zlib
from isal import isal_zlib
spent = 0.0
for name in sys.argv[1:]:
    plain = zlib.decompress(open(name, "rb").read(), 31)
    begun = time.process_time()
    hashlib.sha256(plain)
    pack = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    hashlib.sha256(pack.compress(plain) + pack.flush())
    spent += time.process_time() - begun
print(spent)
"""
#: The modules of the layers compiled by one process, as the peers' Dockerfile and we both do on all cores.
COMPILING = """
import io, marshal, sys, tarfile, time
spent = 0.0
for name in sys.argv[1:]:
    with tarfile.open(name) as archive:
        for member in archive:
            if member.name.endswith(".py") and not {"bin", "test", "tests"} & set(member.name.split("/")):
                source = archive.extractfile(member).read()
                begun = time.process_time()
                try:
                    marshal.dumps(compile(source, member.name, "exec", dont_inherit=True))
                except (SyntaxError, ValueError):
                    pass
                spent += time.process_time() - begun
print(spent)
"""


def missing() -> list[str]:
    """Names of the parts that are not there."""
    return [name for name in PARTS if not os.environ.get(name)]


class Project:
    """A copy of the example and its store below `folder`."""

    def __init__(self, folder: Path, packages: Sequence[str] = ()) -> None:
        self.folder = folder
        self.packages = tuple(packages)
        self.home = folder / "home"
        self.source = folder / "hello_world"
        self.repository = f"{os.environ['REGISTRY']}/bench/{secrets.token_hex(4)}"
        self.base = os.environ["TEST_BASE_IMAGE"]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DYNAMO_")},
            "DYNAMO_HOME": str(self.home),
        }
        shutil.copytree(ROOT / "examples/hello_world", self.source, ignore=shutil.ignore_patterns("__pycache__"))
        self.requirements = (self.source / "requirements.txt").read_text()
        self.tag, self.bento = self.build(packages)

    def build(self, packages: Sequence[str]) -> tuple[str, Path]:
        """A bento with these packages: its tag and its folder."""
        lines = "".join(f"{name}\n" for name in packages)
        (self.source / "requirements.txt").write_text(self.requirements + lines)
        tag = self.said([*DYNAMO, "build", "hello_world:Frontend", "--output", "name"]).strip()
        return tag, self.home / "bentos" / tag.replace(":", "/")

    def changed(self, name: str, count: int) -> str:
        """Bentos that differ in one line of code each; gives a shell command that sets TAG to the next of them."""
        tags = []
        for number in range(count):
            with (self.source / "hello_world.py").open("a") as code:
                code.write(f"# {name} {number}\n")
            tags.append(self.said([*DYNAMO, "build", "hello_world:Frontend", "--output", "name"]).strip())
        listed = self.folder / f"tags-{name}"
        listed.write_text("\n".join(tags) + "\n")
        return f"TAG=$(head -n 1 {listed}) && sed -i 1d {listed}"

    def containerize(self, target: str, *more: str, tag: str = "", base: str = "") -> list[str]:
        names = ["--base", base or self.base, "-t", target, "--push", "--output", "json"]
        return [*DYNAMO, "containerize", tag or self.tag, *names, *more]

    def said(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, cwd=self.source, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-400:]}")
        return done.stdout

    def copy(self, name: str, bento: Path | None = None) -> Path:
        """The bento's folder again, for a tool that is to change it by itself."""
        target = self.folder / name.replace(" ", "-")
        shutil.copytree(bento or self.bento, target, dirs_exist_ok=True)
        if name.startswith("BuildKit"):  # its own form of the Dockerfile keeps pip's cache between builds
            recipe = target / "env/docker/Dockerfile"
            recipe.write_text(recipe.read_text().replace(_INSTALL, _CACHED))
        return target

    def vendored(self, packages: Sequence[str]) -> Path:
        """The other way to write a Dockerfile: packages lie in the context, and are copied before the code."""
        folder = self.copy("vendored")
        uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", sys.executable]
        subprocess.run([*uv, "--target", str(folder / "site"), *packages, "pydantic"], check=True)
        recipe = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY site /app/packages\nCOPY src /app/src\n"
        (folder / "env/docker/Dockerfile").write_text(recipe)
        return folder

    def floor(self, names: Sequence[str] = (), script: str = FLOOR) -> float:
        """CPU seconds of hashing and compressing the layers over the base whose names begin with these.

        With COMPILING: of compiling their modules.
        """
        image = json.loads(self.said(self.containerize(f"{self.repository}/floor:v1")))
        blobs = self.home / "cache/layers/blobs"
        chosen = [
            str(blobs / layer["digest"].removeprefix("sha256:"))
            for layer in image["layers"]
            if layer["name"] != "base" and (not names or layer["name"].startswith(tuple(names)))
        ]
        return float(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", script, *chosen], capture_output=True, check=True
            ).stdout
        )
