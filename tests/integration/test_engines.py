"""One image that no engine built, run by each engine that is here: Docker of this release and a newer one, podman.

The tools that copy images take it too, and its digest stays what it was. umoci and runc: test_runc.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import Image
from dynamo_build.oci import layout, validate
from dynamo_build.seams import Surroundings
from support import hello, nats

ENGINES = ("docker", "docker-newer", "podman")
HOSTS = {"docker": "DOCKER_HOST", "docker-newer": "DOCKER_HOST_NEWER"}
pytestmark = [pytest.mark.docker, pytest.mark.registry, pytest.mark.root, pytest.mark.usefixtures("as_root")]


def present() -> list[str]:
    """The newer engine is started for long runs only (DYNAMO_STACK_NEWER)."""
    return [name for name in ENGINES if name != "docker-newer" or os.environ.get("DOCKER_HOST_NEWER")]


def program(name: str) -> str:
    """A program of the stack's, or a skip that says which is missing."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/bin:/usr/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {name}")
        pytest.skip(f"needs {name}")
    return found


@dataclass(frozen=True)
class Engine:
    """A client on the command line, and what it needs to find its engine."""

    name: str
    command: str
    environment: dict[str, str]

    def call(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.command, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def running(self, *arguments: str, **variables: str) -> Iterator[str]:
        """A container by its id: nothing to write to but /tmp, no capability, a user that no file knows."""
        options = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "20457:0"]
        for name, value in variables.items():
            options += ["--env", f"{name}={value}"]
        container = self.call("run", "--detach", *options, *arguments).splitlines()[-1]
        try:
            yield container
        finally:
            self.call("rm", "--force", container)

    def answer(self, container: str, port: int) -> list[str]:
        """The first answer of the graph; fails with the log when half a minute passes."""
        request = urllib.request.Request(f"http://127.0.0.1:{port}/generate", data=b'{"text": "Hello World"}')
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with opener.open(request, timeout=10) as response:
                    return str(response.read().decode()).splitlines()
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no answer: {self.call('logs', container)}")


@pytest.fixture(scope="module", params=present())
def engine(request: pytest.FixtureRequest, docker_host: str, image: Image) -> Iterator[Engine]:
    """A client of each engine; the names that it pulled are deleted again (others may use the same image)."""
    if request.param == "podman":
        found = Engine("podman", program("podman"), dict(os.environ))
    else:
        host = os.environ[HOSTS[request.param]]
        found = Engine(request.param, program("docker"), {**os.environ, "DOCKER_HOST": host})
    yield found
    for name in names(image):
        subprocess.run([found.command, "image", "rm", name], env=found.environment, capture_output=True, check=False)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_", "DOCKER_"))}
    return catalog.default_surroundings({**kept, "DYNAMO_HOME": str(tmp_path_factory.mktemp("store"))})


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> Bento:
    return hello.bento_made(tmp_path_factory.mktemp("bento"), around)


@pytest.fixture(scope="module")
def image(bento: Bento, around: Surroundings, registry: str, base_image: str) -> Image:
    """hello_world by the daemonless builder, pushed."""
    name = f"{registry}/test/{secrets.token_hex(6)}/hello:v1"
    return hello.built(bento, around, base_image, references=(name,), push=True)


@pytest.fixture(scope="module")
def packed_by_zstd(bento: Bento, around: Surroundings, registry: str, base_image: str) -> Image:
    """The same, its own layers packed by zstd over the base's, which stay as they are."""
    name = f"{registry}/test/{secrets.token_hex(6)}/hello:v1"
    return hello.built(bento, around, base_image, references=(name,), push=True, compression="zstd")


def names(image: Image) -> tuple[str, str]:
    """The image by tag, and by tag and digest."""
    name = image.reference.partition("@")[0]
    return f"{name}:v1", f"{name}@{image.digest}"


def ports() -> dict[str, str]:
    return {
        "DYNAMO_HOST": "127.0.0.1",
        "DYNAMO_PORT": str(hello.free_port()),
        "DYNAMO_SYSTEM_HOST": "127.0.0.1",
        "DYNAMO_SYSTEM_PORT": str(hello.free_port()),
    }


def test_pulled_by_digest_and_run(engine: Engine, image: Image) -> None:
    """The engine checks the digest, and `run IMAGE` alone serves the whole graph with the NATS server in it."""
    _, exact = names(image)
    engine.call("pull", exact)
    inspected = json.loads(engine.call("image", "inspect", exact))[0]
    assert inspected["Id"].removeprefix("sha256:") == image.config_digest.removeprefix("sha256:")
    variables = ports()
    with engine.running(exact, **variables) as container:
        assert engine.answer(container, int(variables["DYNAMO_PORT"])) == hello.ANSWER
        engine.call("stop", "--time", "60", container)
        assert engine.call("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


def test_one_service_each(engine: Engine, image: Image) -> None:
    """`run IMAGE SERVICE` is one service of the graph; together they answer."""
    tagged, _ = names(image)
    engine.call("pull", tagged)
    with nats.nats_server() as server, contextlib.ExitStack() as stack:
        own = {"NATS_SERVER": server.url, "DYN_NAMESPACE": f"test-{secrets.token_hex(4)}"}
        for service in ("Backend", "Middle", "Frontend"):
            variables = ports()
            container = stack.enter_context(engine.running(tagged, service, **variables, **own))
        assert engine.answer(container, int(variables["DYNAMO_PORT"])) == hello.ANSWER


def test_layers_packed_by_zstd(engine: Engine, packed_by_zstd: Image, image: Image) -> None:
    """Unpacked to the same image by all but old engines of Docker, which cannot read zstd and say so."""
    _, exact = names(packed_by_zstd)
    assert packed_by_zstd.config_digest == image.config_digest and packed_by_zstd.digest != image.digest
    # by its number: an old engine fetches no layer of an image that it has under any name
    engine.call("image", "rm", "--force", image.config_digest.removeprefix("sha256:"))
    version = engine.call(
        "version", "--format", "{{.Server.Version}}" if engine.name != "podman" else "{{.Client.Version}}"
    )
    if engine.name != "podman" and int(version.split(".")[0]) < 23:
        with pytest.raises(AssertionError, match="invalid tar header"):
            engine.call("pull", exact)
        return
    engine.call("pull", exact)
    assert (
        engine.call("run", "--rm", "--network", "none", "--entrypoint", "python", exact, "-c", "import dynamo.worker")
        == ""
    )
    engine.call("image", "rm", exact)


def skopeo(*arguments: str) -> str:
    command: Sequence[str] = [program("skopeo"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_copied_by_another_tool(image: Image, tmp_path: Path) -> None:
    """skopeo takes it from the registry into a layout, into an archive and back: its digest stays, and it is sound."""
    tagged, exact = names(image)
    raw = skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{exact}")
    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" == image.digest
    told = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{tagged}"))
    assert told["Digest"] == image.digest and "dynamo.python" in told["Labels"]
    skopeo("copy", "--src-tls-verify=false", f"docker://{exact}", f"oci:{tmp_path / 'copy'}:v1")
    copied = layout.read_image(tmp_path / "copy", "linux/amd64", "v1")
    assert copied.digest == image.digest and validate.find_image_problems(copied) == ()
    again = f"{tagged.rpartition(':')[0]}-copied:v1"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path / 'copy'}:v1", f"docker://{again}")
    raw = skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{again}")
    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" == image.digest
    skopeo("copy", f"oci:{tmp_path / 'copy'}:v1", f"docker-archive:{tmp_path / 'archive.tar'}:hello:v1")
    assert (tmp_path / "archive.tar").stat().st_size > 2**20
