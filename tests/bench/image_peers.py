"""The builders that images are compared with, each as one shell command: build from a bento's folder, push."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOCKERFILE = "env/docker/Dockerfile"
PY = """
import sys, docker
client = docker.from_env(version="auto").api
for message in client.build(path=".", dockerfile=sys.argv[3], tag=sys.argv[2], decode=True, rm=True,
                            network_mode="host", buildargs={"BASE_IMAGE": sys.argv[1]}):
    if "error" in message: sys.exit(message["error"])
for message in client.push(sys.argv[2], stream=True, decode=True):
    if "error" in message: sys.exit(message["error"])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`build` is a command with {base} and {target} to fill in, run in the bento's folder with more variables."""

    name: str
    build: str
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, base: str, target: str, *, cold: bool = False) -> list[str]:
        """`cold` leaves out what the tool's own cache has of earlier builds; pip's cache, where one is kept, stays."""
        line = self.build.replace(" -q ", " -q --no-cache ", 1) if cold else self.build
        return ["sh", "-c", line.format(base=base, target=target)]


def peers(scratch: Path) -> list[Peer]:
    """Those that run here, the one that is fastest in most cases first."""
    found = []
    arguments = f"--build-arg BASE_IMAGE={{base}} --network host -f {DOCKERFILE} -t {{target}}"
    if client := _buildkit_client():
        found.append(
            Peer(
                name="BuildKit",
                build=f"{client} build -q {arguments} . && {client} push -q {{target}}",
                environment={"DOCKER_BUILDKIT": "1"},
            )
        )
    if shutil.which("docker"):
        found.append(
            Peer(
                name="classic builder",
                build=f"docker build -q {arguments} . && docker push -q {{target}}",
                environment={"DOCKER_BUILDKIT": "0"},
            )
        )
        script = scratch / "peer.py"
        script.write_text(PY)
        found.append(Peer(name="docker-py", build=f"{sys.executable} {script} {{base}} {{target}} {DOCKERFILE}"))
    if buildah := shutil.which("buildah"):
        storage = f"{buildah} --root {scratch}/buildah --runroot {scratch}/buildah-run --storage-driver overlay"
        found.append(
            Peer(
                name="buildah",
                build=f"{storage} bud -q --isolation chroot --layers --tls-verify=false {arguments} . "
                f"&& {storage} push -q --tls-verify=false {{target}}",
            )
        )
    return found


def _buildkit_client() -> str:
    """A docker command that has BuildKit's client in it, or a buildx plugin; "" when there is none."""
    for program in ("docker", "/usr/bin/docker"):
        said = subprocess.run(
            [program, "build", "-"],
            input=b"FROM scratch\nLABEL a=b\n",
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            check=False,
        )
        if said.returncode == 0:
            return program
    return ""


@contextlib.contextmanager
def fresh_engine() -> Iterator[dict[str, str]]:
    """An engine that holds nothing yet, and the variables that name it; needs root."""
    folder = Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    flags = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    address = f"unix://{folder}/s"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", f"--host={address}", "--storage-driver=overlay2", *flags, *places], stdout=log, stderr=log
        )
        try:
            while (
                not (folder / "s").exists()
                or subprocess.run(["docker", "-H", address, "version"], capture_output=True, check=False).returncode
            ):
                if process.poll() is not None:
                    raise RuntimeError((folder / "log").read_text()[-400:])
                time.sleep(0.1)
            yield {"DOCKER_HOST": address}
        finally:
            process.terminate()
            process.wait(60)
            mounted = [
                line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if f" {folder}/" in line
            ]
            for place in reversed(mounted):
                subprocess.run(["umount", place], check=False)
            shutil.rmtree(folder, ignore_errors=True)
