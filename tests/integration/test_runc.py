"""The daemonless image under runc: unpacked from its layout, with no engine in between."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.model.bento import Bento
from dynamo_build.oci import layout
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings
from integration import runc
from support import chroot, hello

pytestmark = [pytest.mark.root, pytest.mark.nats, pytest.mark.usefixtures("as_root")]


def program(name: str) -> str:
    """A program of the stack's, or a skip that says which is missing."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {name}")
        pytest.skip(f"needs {name}")
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runc")


@pytest.fixture(scope="module")
def around(home: Path) -> Surroundings:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_", "DOCKER_"))
    }
    return catalog.default_surroundings({**environment, "DYNAMO_HOME": str(home / "store")})


@pytest.fixture(scope="module")
def bento(home: Path, around: Surroundings) -> Bento:
    return hello.bento_made(home, around)


@pytest.fixture(scope="module")
def image(home: Path, around: Surroundings, bento: Bento) -> OciImage:
    """The image, in the layout `image` with the tag `v1`."""
    base = hello.base_made(home / "base")
    hello.built(bento, around, base, folder=str(home / "image"), references=("hello:v1",))
    return layout.read_image(home / "image", "linux/amd64", "v1")


def answered(image: OciImage, folder: Path, nats_url: str, user: str = "") -> list[str]:
    """What the whole graph answers, run from the bundle in `folder`."""
    http, system = hello.free_port(), hello.free_port()
    environment = {
        "NATS_SERVER": nats_url,
        "DYN_NAMESPACE": f"test-{secrets.token_hex(4)}",
        "DYNAMO_HOST": "127.0.0.1",
        "DYNAMO_PORT": str(http),
        "DYNAMO_SYSTEM_HOST": "127.0.0.1",
        "DYNAMO_SYSTEM_PORT": str(system),
    }
    runc.bundle(image, folder, environment, (), user)
    with runc.running(program("runc"), folder, folder / "log") as process:
        return hello.asked(http, process, folder / "log")


@pytest.mark.parametrize("user", ["", "20457:0"], ids=["its-user", "any-user"])
def test_unpacked_by_hand(image: OciImage, tmp_path: Path, nats_url: str, user: str) -> None:
    """Read-only root, no capability, the image's user or any other one: the whole graph answers over a real NATS."""
    chroot.unpack(image, tmp_path / "rootfs")
    assert answered(image, tmp_path, nats_url, user) == hello.ANSWER


def test_unpacked_by_another_tool(image: OciImage, home: Path, tmp_path: Path, nats_url: str) -> None:
    """umoci takes the layout as it is, and what it unpacks answers too."""
    bundle = tmp_path / "bundle"
    command = [program("umoci"), "unpack", "--image", f"{home / 'image'}:v1", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert answered(image, bundle, nats_url) == hello.ANSWER
