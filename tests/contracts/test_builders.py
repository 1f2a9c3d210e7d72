"""What every image builder of the catalogue keeps to."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from dynamo_build import catalog
from dynamo_build.errors import DynamoError
from dynamo_build.events import ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import Destination, ImagePlan, SetupCommand, ToEngine, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import validate
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import ImageBuilder, Surroundings
from support import handmade

NEEDS = {
    "oci": (pytest.mark.registry,),
    "docker": (pytest.mark.registry, pytest.mark.docker),
    "buildah": (pytest.mark.registry, pytest.mark.root),
    "podman": (pytest.mark.registry, pytest.mark.root),
}
#: Programs that a distribution may lack; without them their part of the suite is left out.
PROGRAMS = ("buildah", "podman")
ROOT = Path(__file__).resolve().parents[2]
WORKER = b"import sys, graph\nprint('worker', graph.WORD, *sys.argv[1:])\n"


@pytest.fixture
def around(tmp_path: Path, registry: str) -> Surroundings:
    del registry
    return catalog.default_surroundings(dict(os.environ), tmp_path / "cache")


@pytest.fixture(scope="module")
def base(registry: str, tmp_path_factory: pytest.TempPathFactory) -> ImageReference:
    """A base with Python, in the registry, by digest."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run(
        [sys.executable, ROOT / "container/make_base.py", "--output", folder], check=True, capture_output=True
    )
    around = catalog.default_surroundings(dict(os.environ), folder / "cache")
    source, to = (
        ImageReference.parse(f"oci:{folder}"),
        ImageReference.parse(f"{registry}/contract/base:{secrets.token_hex(4)}"),
    )
    image = around.registry(source).pull(source, "linux/amd64")
    return to.with_digest(around.registry(to).push(image, (to,), ignore))


@pytest.fixture(params=[pytest.param(name, marks=NEEDS.get(name, ())) for name in catalog.BUILDERS])
def builder(request: pytest.FixtureRequest, around: Surroundings) -> Iterator[ImageBuilder]:
    if request.param == "docker":
        request.getfixturevalue("docker_host")
    if request.param in PROGRAMS:
        request.getfixturevalue("as_root")
        if shutil.which(request.param) is None:
            pytest.skip(f"needs {request.param}")
    yield catalog.find_builder(request.param, around)


@pytest.fixture
def plan(tmp_path: Path, base: ImageReference) -> ImagePlan:
    runtime = {"dynamo/__init__.py": b"", "dynamo/worker.py": WORKER}
    _, content = handmade.distribution("dynamo_runtime", "0.1.0", runtime)
    bento = handmade.bento(tmp_path / "bento", {"graph.py": "WORD = 'here'\n", "data/words.txt": "one\n"})
    (tmp_path / "bento/runtime" / handmade.WHEEL).write_bytes(content)
    return plan_image(bento, base, "linux/amd64")


def somewhere(registry: str) -> ToRegistry:
    return ToRegistry(references=(ImageReference.parse(f"{registry}/contract/{secrets.token_hex(6)}:v1"),))


def pulled(around: Surroundings, to: Destination, reference: str) -> OciImage:
    assert isinstance(to, ToRegistry)
    found = ImageReference.parse(reference)
    return around.registry(found).pull(found, "linux/amd64")


def test_the_image_is_where_it_was_sent(
    builder: ImageBuilder, plan: ImagePlan, around: Surroundings, registry: str
) -> None:
    """In the registry, by the digest that the result names, whole, over the base's own layers."""
    to = somewhere(registry)
    image = builder.build(plan, to, ignore)
    found = pulled(around, to, image.reference)
    assert (found.digest, found.config_digest) == (image.digest, image.config_digest)
    assert validate.find_image_problems(found) == ()
    assert found.layers[0].diff_id == around.registry(plan.base).pull(plan.base, "linux/amd64").layers[0].diff_id
    assert [layer.digest for layer in image.layers] in ([], [layer.digest for layer in found.layers])
    assert image.size > 0 and image.services == plan.services and image.platform == "linux/amd64"


def test_the_config_says_how_it_runs(
    builder: ImageBuilder, plan: ImagePlan, around: Surroundings, registry: str
) -> None:
    """Environment, user, folder, entry point, labels and ports of the plan."""
    to = somewhere(registry)
    settings = pulled(around, to, builder.build(plan, to, ignore).reference).settings
    environment = dict(item.partition("=")[::2] for item in settings["Env"])
    assert environment["PATH"].startswith("/app/packages/bin:/usr/local/bin")
    assert {name: environment.get(name) for name in plan.environment} == dict(plan.environment)
    assert settings["Entrypoint"] == list(plan.entrypoint) and not settings.get("Cmd")
    assert (settings["User"], settings["WorkingDir"]) == ("10001:0", "/app/src")
    assert plan.labels.items() <= settings["Labels"].items()
    assert set(settings["ExposedPorts"]) == {"8000/tcp", "9090/tcp"}


def test_what_cannot_be_built_is_said_before(builder: ImageBuilder, plan: ImagePlan, registry: str) -> None:
    """`problems` has no effect, and a plan that it refuses is refused by `build` too."""
    assert builder.problems(plan, somewhere(registry)) == ()
    asked = replace(plan, layers=(SetupCommand(command="true"), *plan.layers))
    if builder.problems(asked, somewhere(registry)):
        with pytest.raises(DynamoError):
            builder.build(asked, somewhere(registry), ignore)


def test_a_missing_base_is_one_line(builder: ImageBuilder, plan: ImagePlan, registry: str) -> None:
    """No such base, no image, no traceback."""
    gone = ImageReference.parse(f"{registry}/contract/nothing-here:v1")
    with pytest.raises(DynamoError) as failed:
        builder.build(replace(plan, base=gone), somewhere(registry), ignore)
    assert "\n" not in failed.value.message


@pytest.mark.docker
def test_the_engine_runs_it(builder: ImageBuilder, plan: ImagePlan, docker_host: str) -> None:
    """Delivered into the engine, the image starts as its user, with code, runtime and arguments in place."""
    reference = ImageReference.parse(f"contract/{secrets.token_hex(6)}:v1")
    image = builder.build(plan, ToEngine(reference=reference, address=docker_host), ignore)
    client = docker.APIClient(base_url=docker_host, version="auto")
    host = client.create_host_config(network_mode="none")
    container = client.create_container(image.reference, command=["Service"], host_config=host)
    try:
        client.start(container)
        assert client.wait(container, timeout=30)["StatusCode"] == 0, client.logs(container)
        assert client.logs(container).decode().split() == ["worker", "here", "Service"]
    finally:
        client.remove_container(container, force=True)
        client.remove_image(str(reference), force=True)
        client.close()
