"""Three graphs built by every builder: the same files, and the same answers.

The Dockerfile's packages are installed by pip inside the image, so this also holds the layers that are made without an
engine to what pip leaves there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions, Image
from dynamo_build.model.plan import BuildOptions
from dynamo_build.pipeline import build, containerize
from dynamo_build.seams import Surroundings
from integration import trees
from support import hello, nats

pytestmark = [pytest.mark.docker, pytest.mark.registry, pytest.mark.nats]


@dataclass(frozen=True)
class Example:
    """A graph, a request, and what is answered. `own` are services that get a base of their own."""

    folder: str
    target: str
    request: tuple[str, bytes]
    answer: str
    own: tuple[str, ...] = ()


EXAMPLES = [
    Example(
        "hello_world",
        "hello_world:Frontend",
        ("/generate", b'{"text": "Hello World"}'),
        "Frontend: Middle: Backend: Hello\nFrontend: Middle: Backend: World-mid-back\n",
    ),
    Example(
        "numbers",
        "numbers_graph:Frontend",
        ("/summarise", b'{"values": [1, 2, 3, 4]}'),
        '{"count":4,"mean":2.5,"deviation":1.118}',
    ),
    Example(
        "per_service_images",
        "two_images:Frontend",
        ("/count", b'{"text": "one three"}'),
        "one 3\nthree 5\n",
        own=("Counter",),
    ),
]
#: The slowest one takes part once, where it is there and may be used.
SLOW = ("buildah",) if shutil.which("buildah") and os.geteuid() == 0 else ()
BUILDERS = ("oci", "docker")


@pytest.fixture(scope="module")
def around(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_"))}
    home = str(tmp_path_factory.mktemp("home"))
    return catalog.surroundings({**kept, "DOCKER_HOST": docker_host, "DYNAMO_HOME": home})


@pytest.fixture(scope="module")
def client(docker_host: str) -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.DockerClient(base_url=docker_host, timeout=120)) as found:
        yield found


def built(
    example: Example, bento: Bento, builder: str, base: str, around: Surroundings, name: str
) -> tuple[Image, ...]:
    bases = (base, *(f"{service}={base}" for service in example.own))
    if example.own:  # a second name of the base makes it another one
        bases = (base, *(f"{service}={base.rpartition(':')[0]}:own" for service in example.own))
    options = ContainerizeOptions(bases=bases, builder=builder, references=(f"{name}:{builder}",))
    return containerize.containerize(bento, options, around)


def asked(port: int, example: Example, containers: list[docker.models.containers.Container]) -> str:
    path, body = example.request
    deadline = time.monotonic() + 40
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            with opener.open(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body), timeout=10
            ) as response:
                return str(response.read().decode())
        time.sleep(0.1)
    raise AssertionError("\n".join(container.logs().decode() for container in containers))


def answered(client: docker.DockerClient, images: tuple[Image, ...], example: Example) -> str:
    """What the graph says: in one container for one image, else with a container for each service."""
    port = hello.free_port()
    with nats.nats_server() as server, contextlib.ExitStack() as stack:
        started = []
        for image in images:
            for service in [[]] if len(images) == 1 else [[name] for name in image.services]:
                container = client.containers.run(
                    image.reference,
                    service,
                    detach=True,
                    network_mode="host",
                    environment={
                        "NATS_SERVER": server.url,
                        "DYNAMO_HOST": "127.0.0.1",
                        "DYNAMO_PORT": str(port if service in ([], ["Frontend"]) else hello.free_port()),
                        "DYNAMO_SYSTEM_HOST": "127.0.0.1",
                        "DYNAMO_SYSTEM_PORT": str(hello.free_port()),
                    },
                )
                stack.callback(container.remove, force=True)
                started.append(container)
        return asked(port, example, started)


@pytest.fixture(scope="module")
def own_base(base_image: str, around: Surroundings) -> str:
    """The base under a second tag, with another config, so that it is another image."""
    from dynamo_build.model.reference import ImageReference

    reference = ImageReference.parse(base_image)
    registry = around.registry(reference)
    image = registry.pull(reference, "linux/amd64")
    registry.push(
        image.with_config({**image.settings, "Labels": {**image.labels, "own": "yes"}}),
        (reference.with_tag("own"),),
        ignore,
    )
    return base_image


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.folder for example in EXAMPLES])
@pytest.mark.timeout(600)
def test_the_same_files_and_answers(
    example: Example, own_base: str, around: Surroundings, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Every builder of the catalogue; owners, modes, links and contents below /app, and what a request is answered."""
    project = tmp_path / example.folder
    shutil.copytree(hello.ROOT / "examples" / example.folder, project, ignore=shutil.ignore_patterns("__pycache__"))
    bento = build.build(example.target, project, BuildOptions(), ignore, around)
    name = f"same-{secrets.token_hex(4)}"
    try:
        builders = (*BUILDERS, *(SLOW if example.folder == "numbers" else ()))
        images = {builder: built(example, bento, builder, own_base, around, name) for builder in builders}
        for first, *others in zip(*images.values(), strict=True):
            tree = trees.application(client, first.reference)
            assert trees.unrecorded(tree, "app/packages/") == []
            for other in others:
                found = trees.differences(tree, trees.application(client, other.reference))
                assert not found, "\n".join(found)
        answers = {builder: answered(client, found, example) for builder, found in images.items()}
        assert answers == dict.fromkeys(builders, example.answer)
    finally:
        for image in client.images.list(name=name):
            for tag in image.tags:
                client.images.remove(tag, force=True)
