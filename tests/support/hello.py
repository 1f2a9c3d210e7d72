"""The example's bento, its images, and the question that tells whether one of them works."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions, Image
from dynamo_build.model.plan import BuildOptions
from dynamo_build.pipeline.build import build
from dynamo_build.pipeline.containerize import containerize
from dynamo_build.seams import Surroundings

ROOT = Path(__file__).resolve().parents[2]
ANSWER = ["Frontend: Middle: Backend: Hello", "Frontend: Middle: Backend: World-mid-back"]


def base_made(folder: Path) -> str:
    """A base image of the running Python, made without network."""
    command = [sys.executable, ROOT / "container/make_base.py", "--output", folder]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def bento_made(folder: Path, around: Surroundings, options: BuildOptions | None = None, more: str = "") -> Bento:
    """The bento of the example, from a copy of it; `more` is added to its code."""
    project = folder / "hello_world"
    shutil.copytree(ROOT / "examples/hello_world", project)
    with (project / "hello_world.py").open("a") as stream:
        stream.write(more)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return build("hello_world:Frontend", project, options or BuildOptions(python=python), surroundings=around)


def built(bento: Bento, around: Surroundings, base: str, **wanted: object) -> Image:
    """Its one image."""
    (image,) = containerize(bento, ContainerizeOptions(bases=(base,), **wanted), around)
    return image


def free_port() -> int:
    """A port that nothing listened to a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(port: int, process: subprocess.Popen[bytes], log: Path) -> list[str]:
    """The lines of the first answer; fails with the log when the process ends or half a minute passes."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/generate", data=b'{"text": "Hello World"}')
            with urllib.request.urlopen(request, timeout=10) as response:
                return str(response.read().decode()).splitlines()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(f"no answer:\n{log.read_text()}")
