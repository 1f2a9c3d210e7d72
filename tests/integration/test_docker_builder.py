"""Images by a real engine: built by each of its builders or loaded from ours, and each one answers a request."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from dynamo_build import catalog
from dynamo_build.errors import ImageBuildError, RegistryError
from dynamo_build.events import Event, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import (
    ContainerizeOptions,
    Image,
    ImagePlan,
    PackagesLayer,
    SetupCommand,
    ToEngine,
    ToRegistry,
)
from dynamo_build.model.plan import BuildOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.pipeline.build import build as build_bento
from dynamo_build.pipeline.containerize import containerize, plan_images
from dynamo_build.seams import Surroundings
from support import nats

pytestmark = [pytest.mark.docker, pytest.mark.registry]
EXAMPLE = Path(__file__).parents[2] / "examples" / "hello_world"
ANSWER = "Frontend: Middle: Backend: Hello\nFrontend: Middle: Backend: World-mid-back\n"
ENGINE = "hello-test"


@pytest.fixture(scope="module")
def environment(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = {"DOCKER_HOST": docker_host, "DYNAMO_HOME": str(tmp_path_factory.mktemp("home"))}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_"))}
    return {**kept, **own}


@pytest.fixture(scope="module")
def surroundings(environment: dict[str, str]) -> Surroundings:
    return catalog.surroundings(environment)


@pytest.fixture(scope="module")
def bento(surroundings: Surroundings) -> Bento:
    """hello_world, frozen."""
    return build_bento("hello_world:Frontend", EXAMPLE, BuildOptions(), ignore, surroundings)


@pytest.fixture(scope="module")
def plan(bento: Bento, base_image: str, surroundings: Surroundings) -> ImagePlan:
    options = ContainerizeOptions(bases=(base_image,), builder="docker", references=(f"{ENGINE}:plan",))
    ((planned, _),) = plan_images(bento, options, surroundings)
    return planned


@pytest.fixture(scope="module")
def client(docker_host: str) -> Iterator[docker.DockerClient]:
    """The engine; what these tests put into it goes again."""
    with contextlib.closing(docker.DockerClient(base_url=docker_host, timeout=120)) as found:
        yield found
        for image in found.images.list(name=ENGINE):
            for tag in image.tags:
                found.images.remove(tag, force=True)


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def answer(client: docker.DockerClient, image: str, user: str = "") -> str:
    """Run the graph of an image against a NATS of its own, ask it once, ask its health, and end it."""
    with nats.nats_server() as server:
        port, system = free_port(), free_port()
        container = client.containers.run(
            image,
            detach=True,
            network_mode="host",
            read_only=True,
            tmpfs={"/tmp": ""},
            cap_drop=["ALL"],
            user=user or None,
            environment={
                "NATS_SERVER": server.url,
                "DYNAMO_HOST": "127.0.0.1",
                "DYNAMO_PORT": str(port),
                "DYNAMO_SYSTEM_HOST": "127.0.0.1",
                "DYNAMO_SYSTEM_PORT": str(system),
            },
        )
        try:
            said = ask(container, port)
            health = (
                container.attrs["Config"]["Healthcheck"]["Test"] if "Healthcheck" in container.attrs["Config"] else ()
            )
            if health:
                assert container.exec_run(health[1:]).exit_code == 0
            container.stop(timeout=20)
            assert container.wait()["StatusCode"] == 0, container.logs().decode()
            return said
        finally:
            container.remove(force=True)


def ask(container: Any, port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/generate", data=b'{"text": "Hello World"}', method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while True:
        try:
            with opener.open(request, timeout=10) as response:
                return str(response.read().decode())
        except OSError:
            container.reload()
            if container.status == "exited" or time.monotonic() > deadline:
                pytest.fail(f"no answer: {container.logs().decode()}")
            time.sleep(0.1)


def build(
    plan: ImagePlan, to: Any, environment: dict[str, str], heard: list[Event] | None = None, **more: str
) -> Image:
    surroundings = catalog.surroundings({**environment, **more})
    listener = ignore if heard is None else heard.append
    return catalog.builder("docker", surroundings).build(plan, to, listener)


def to_engine(tag: str) -> ToEngine:
    return ToEngine(reference=ImageReference.parse(f"{ENGINE}:{tag}"))


@pytest.mark.parametrize("buildkit", ["1", "0"])
def test_built_by_the_engine(
    plan: ImagePlan, client: docker.DockerClient, environment: dict[str, str], buildkit: str
) -> None:
    """BuildKit and the classic builder make an image that serves the graph, for any user, on a read-only system."""
    image = build(plan, to_engine(f"kit{buildkit}"), environment, DOCKER_BUILDKIT=buildkit)
    assert answer(client, image.reference) == ANSWER
    assert answer(client, image.reference, user="54321:0") == ANSWER
    settings = client.images.get(image.reference).attrs["Config"]
    assert settings["User"] == "10001:0"
    assert settings["Entrypoint"] == ["python", "-m", "dynamo.worker"]
    assert not settings.get("Cmd")
    assert {name: settings["Labels"][name] for name in plan.labels} == dict(plan.labels)
    assert settings["Env"][0].startswith("PATH=/app/packages/bin:") or any(
        line.startswith("PATH=/app/packages/bin:") for line in settings["Env"]
    )


def test_the_second_build_is_the_first(
    plan: ImagePlan, environment: dict[str, str], client: docker.DockerClient
) -> None:
    """The context never varies, so nothing is run again."""
    first = build(plan, to_engine("again"), environment)
    second = build(plan, to_engine("again"), environment)
    assert second.digest == first.digest  # layers that are made again have other times in them


def test_values_reach_the_container_as_they_are(
    plan: ImagePlan, environment: dict[str, str], client: docker.DockerClient
) -> None:
    """Quotes, dollars, backslashes and non-ASCII text come through both builders and the two kinds of commands."""
    odd = "q\"$HOME ${x:-y} \\ \\\\ ' ` # % {{ }} é \\"
    changed = dataclasses.replace(
        plan,
        layers=(SetupCommand(command="echo one > /one"), SetupCommand(command="echo 'a\nb' > /two"), *plan.layers),
        environment={**plan.environment, "ODD": odd},
        labels={**plan.labels, "odd": odd},
    )
    code = "import os; print(os.environ['ODD']); print(open('/one').read(), open('/two').read())"
    for buildkit in ("1", "0"):
        image = build(changed, to_engine(f"odd{buildkit}"), environment, DOCKER_BUILDKIT=buildkit)
        said = client.containers.run(
            image.reference, ["-c", code], entrypoint="python", network_mode="host", remove=True
        )
        assert said.decode() == f"{odd}\none\n a\nb\n\n"
        assert client.images.get(image.reference).labels["odd"] == odd


def test_an_exported_bento_builds_with_the_docker_command(
    bento: Bento, base_image: str, client: docker.DockerClient, docker_host: str, tmp_path: Path
) -> None:
    """The Dockerfile in the bento needs nothing of ours: an engine and a base."""
    folder = tmp_path / "bento"
    shutil.copytree(bento.folder, folder)
    command = [
        "docker", "build", "--network", "host", "--build-arg", f"BASE_IMAGE={base_image}",
        "-f", "env/docker/Dockerfile", "-t", f"{ENGINE}:command", ".",
    ]  # fmt: skip
    plain = {**os.environ, "DOCKER_HOST": docker_host, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(tmp_path)}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert answer(client, f"{ENGINE}:command") == ANSWER


def test_built_without_the_engine_and_loaded(
    bento: Bento, base_image: str, surroundings: Surroundings, client: docker.DockerClient
) -> None:
    """The daemonless builder's image goes into the engine under its own id, and serves the graph; twice is once."""
    options = ContainerizeOptions(bases=(base_image,), references=(f"{ENGINE}:oci",))
    (image,) = containerize(bento, options, surroundings)
    assert client.images.get(f"{ENGINE}:oci").id == image.config_digest
    assert answer(client, f"{ENGINE}:oci") == ANSWER
    (again,) = containerize(bento, options, surroundings)
    assert again.config_digest == image.config_digest


def test_pushed_by_the_engine(
    plan: ImagePlan, registry: str, environment: dict[str, str], client: docker.DockerClient, surroundings: Surroundings
) -> None:
    """Both tags are in the registry, under the digest that is reported."""
    references = tuple(ImageReference.parse(f"{registry}/{ENGINE}:{tag}") for tag in ("a", "b"))
    image = build(plan, ToRegistry(references=references), environment)
    assert image.reference == f"{registry}/{ENGINE}:a@{image.digest}"
    for reference in references:
        assert str(surroundings.registry(reference).resolve(reference)) == image.digest
        client.images.remove(str(reference))


def test_a_registry_that_asks_who_we_are(
    plan: ImagePlan,
    registry_tls: dict[str, str],
    environment: dict[str, str],
    client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    """Push and base with credentials from the docker config; without them one clear line."""
    reference = ImageReference.parse(f"{registry_tls['address']}/{ENGINE}:secured")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text("{}")
    with pytest.raises(RegistryError, match=r"was not pushed: .*auth"):
        build(plan, ToRegistry(references=(reference,)), environment, DOCKER_CONFIG=str(tmp_path / "empty"))
    login = base64.b64encode(f"{registry_tls['user']}:{registry_tls['password']}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {reference.host: {"auth": login}}}))
    pushed = build(plan, ToRegistry(references=(reference,)), environment, DOCKER_CONFIG=str(tmp_path))
    client.images.remove(pushed.config_digest, force=True)
    over = dataclasses.replace(plan, base=reference.with_digest(pushed.digest), layers=plan.layers[-1:])
    with pytest.raises(RegistryError, match=r"was not pulled: .*auth"):
        build(over, to_engine("secured"), environment, DOCKER_CONFIG=str(tmp_path / "empty"))
    image = build(over, to_engine("secured"), environment, DOCKER_CONFIG=str(tmp_path))
    assert image.base.endswith(pushed.digest)
    for name in (f"{ENGINE}:secured", image.base):
        client.images.remove(name, force=True)


@pytest.mark.parametrize("buildkit", ["1", "0"])
def test_a_package_that_is_not_what_was_locked(plan: ImagePlan, environment: dict[str, str], buildkit: str) -> None:
    """pip refuses other bytes, and the error holds what it said."""
    wrong = f"msgspec==0.19.0 --hash=sha256:{'0' * 64}\n"
    layers = tuple(
        dataclasses.replace(layer, requirements=wrong) if isinstance(layer, PackagesLayer) else layer
        for layer in plan.layers
    )
    with pytest.raises(ImageBuildError, match=r"(?s)the build failed: .*(HASHES|hashes)"):
        build(dataclasses.replace(plan, layers=layers), to_engine("wrong"), environment, DOCKER_BUILDKIT=buildkit)


@pytest.mark.root
def test_a_base_in_a_folder(plan: ImagePlan, environment: dict[str, str], client: docker.DockerClient) -> None:
    """A base that no registry has is loaded first."""
    layout = os.environ.get("TEST_BASE_LAYOUT", "")
    if not layout:
        pytest.skip("needs a base image in a folder: run `make stack-up` (as root)")
    over = dataclasses.replace(plan, base=ImageReference.parse(f"oci:{layout}:latest"))
    image = build(over, to_engine("folder"), environment)
    assert image.base.startswith("dynamo-base:")
    assert answer(client, image.reference) == ANSWER
    client.images.remove(image.base, force=True)
