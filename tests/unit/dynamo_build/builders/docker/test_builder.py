"""The builder against a double of an engine: what it asks for, and every way in which that fails."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_build.builders.docker import DockerBuilder
from dynamo_build.errors import ImageBuildError, RegistryError, ToolMissing
from dynamo_build.events import Event, Warned, ignore
from dynamo_build.model.image import FilesLayer, ImagePlan, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.seams import Surroundings
from support import engine as double

BUILT = "sha256:" + "b" * 64
HERE = ToEngine(reference=ImageReference.parse("hello:1"))
THERE = ToRegistry(
    references=(ImageReference.parse("registry.example/hello:1"), ImageReference.parse("registry.example/hello:latest"))
)


@pytest.fixture
def running() -> Iterator[double.Engine]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, double.running(Path(folder)) as engine:
        engine.images[BUILT] = {"Id": BUILT, "Os": "linux", "Architecture": "amd64", "Size": 7}
        engine.images["base:1"] = {"Id": "sha256:1"}
        yield engine


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("1")
    return ImagePlan(
        name="hello",
        version="1",
        bento=str(tmp_path),
        services=("A", "B"),
        base=ImageReference.parse("base:1"),
        layers=(FilesLayer(name="code", folder="src", paths=("a.py",), target="/app/src"),),
    )


def builder(running: double.Engine, **environment: str) -> DockerBuilder:
    return DockerBuilder(Surroundings(environment={"DOCKER_HOST": running.address, **environment}))


def asked(running: double.Engine, path: str) -> list[dict[str, str]]:
    return [query for _, seen, query, _ in running.requests if seen == path]


def test_a_build_into_the_engine(running: double.Engine, plan: ImagePlan) -> None:
    """BuildKit without a session, on the host's network, over the base; then the tag."""
    image = builder(running).build(plan, HERE, ignore)
    assert (image.reference, image.size, image.platform, image.services) == (BUILT, 7, "linux/amd64", ("A", "B"))
    (query,) = asked(running, "/build")
    assert query["version"] == "2"
    assert query["networkmode"] == "host"
    assert query["platform"] == "linux/amd64"
    assert query["dockerfile"] == "env/docker/Dockerfile"
    assert json.loads(query["buildargs"])["BASE_IMAGE"] == "base:1"
    assert asked(running, f"/images/{BUILT}/tag") == [{"repo": "hello", "tag": "1", "force": "1"}]


def test_a_local_base_is_not_pulled(running: double.Engine, plan: ImagePlan) -> None:
    """A base without a host that the engine has needs no network."""
    builder(running).build(plan, HERE, ignore)
    assert asked(running, "/images/create") == []


@pytest.mark.parametrize("version", [{"Os": "linux", "Components": [{"Name": "Podman Engine"}]}, None])
def test_the_classic_builder(running: double.Engine, plan: ImagePlan, version: dict[str, Any] | None) -> None:
    """For an engine that has no BuildKit, and for who asks for it the way the docker command does."""
    if version:
        running.version = {"ApiVersion": "1.41", **version}
        builder(running).build(plan, HERE, ignore)
    else:
        builder(running, DOCKER_BUILDKIT="0").build(plan, HERE, ignore)
    assert asked(running, "/build")[0]["version"] == "1"
    assert b"--mount" not in running.contexts[0]


def with_base(plan: ImagePlan, base: str) -> ImagePlan:
    return ImagePlan(
        name=plan.name,
        version=plan.version,
        bento=plan.bento,
        services=plan.services,
        layers=plan.layers,
        base=ImageReference.parse(base),
    )


def test_a_base_in_a_registry_is_pulled_with_credentials(
    running: double.Engine, plan: ImagePlan, tmp_path: Path
) -> None:
    """The engine gets the login for the base's registry, in the header and nowhere else."""
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"registry.example": {"auth": base64.b64encode(b"me:hidden").decode()}}})
    )
    base = f"registry.example/base:1@sha256:{'a' * 64}"
    builder(running, DOCKER_CONFIG=str(tmp_path)).build(with_base(plan, base), HERE, ignore)
    ((query, headers),) = [(query, headers) for _, path, query, headers in running.requests if path == "/images/create"]
    assert query["fromImage"] == "registry.example/base"
    assert query["tag"] == f"sha256:{'a' * 64}"
    assert json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"]))["password"] == "hidden"
    arguments = json.loads(asked(running, "/build")[0]["buildargs"])
    assert arguments["BASE_IMAGE"] == f"registry.example/base@sha256:{'a' * 64}"
    assert b"hidden" not in running.contexts[0]


def test_a_base_that_cannot_be_pulled(running: double.Engine, plan: ImagePlan) -> None:
    """One line with what the engine said; nothing is built."""
    running.pull = [{"error": "manifest unknown"}]
    with pytest.raises(RegistryError, match=r"the base image registry.example/base:1 was not pulled: manifest unknown"):
        builder(running).build(with_base(plan, "registry.example/base:1"), HERE, ignore)
    assert asked(running, "/build") == []


def test_a_base_that_the_engine_has_will_do(running: double.Engine, plan: ImagePlan) -> None:
    """Off line the base of the last build is used, with a warning."""
    running.pull = [{"error": "no such host"}]
    running.images["registry.example/base:1"] = {"Id": "sha256:1"}
    heard: list[Event] = []
    builder(running).build(with_base(plan, "registry.example/base:1"), HERE, heard.append)
    assert [event for event in heard if isinstance(event, Warned)]


def test_a_base_says_what_it_is_not_for(running: double.Engine, plan: ImagePlan) -> None:
    """A base that was made for tests says so in a label, and the user hears it."""
    running.images["base:1"] = {"Id": "sha256:1", "Config": {"Labels": {"dynamo.production": "false"}}}
    heard: list[Event] = []
    builder(running).build(plan, HERE, heard.append)
    assert Warned(text="the base base:1 is marked as not for production") in heard


def test_a_push(running: double.Engine, plan: ImagePlan) -> None:
    """All tags are pushed, and the reference has the digest that the registry gave."""
    image = builder(running).build(plan, THERE, ignore)
    assert image.reference == f"registry.example/hello:1@sha256:{'d' * 64}"
    assert [query["tag"] for query in asked(running, "/images/registry.example/hello/push")] == ["1", "latest"]


def test_a_push_that_is_refused(running: double.Engine, plan: ImagePlan) -> None:
    """Engines answer 200 and put the error into the stream."""
    running.push = [{"status": "Preparing"}, {"error": "no basic auth credentials"}]
    with pytest.raises(RegistryError, match="hello:1 was not pushed: no basic auth credentials"):
        builder(running).build(plan, THERE, ignore)


def test_proxies_reach_the_build_and_nothing_else_does(running: double.Engine, plan: ImagePlan) -> None:
    """Only the arguments that engines keep out of an image's history are passed on."""
    builder(running, HTTPS_PROXY="http://proxy:1", no_proxy="localhost", TOKEN="hidden").build(plan, HERE, ignore)
    arguments = json.loads(asked(running, "/build")[0]["buildargs"])
    assert arguments["HTTPS_PROXY"] == "http://proxy:1"
    assert arguments["no_proxy"] == "localhost"
    assert "hidden" not in json.dumps(arguments)


def test_a_build_that_fails(running: double.Engine, plan: ImagePlan) -> None:
    """The engine's words, and no tag."""
    running.build = [{"error": "exit code: 1"}]
    with pytest.raises(ImageBuildError, match="the build failed: exit code: 1"):
        builder(running).build(plan, HERE, ignore)
    assert not [path for path in running.paths("POST") if path.endswith("/tag")]


def test_an_engine_that_dies_in_mid_build(running: double.Engine, plan: ImagePlan) -> None:
    """A cut stream is one line."""
    running.cut_build = True
    with pytest.raises(ImageBuildError, match=r"the connection to the engine broke|without an image"):
        builder(running).build(plan, HERE, ignore)


def test_an_engine_that_refuses(running: double.Engine, plan: ImagePlan) -> None:
    """An error of the API is told in its own words."""
    running.refuse_all = "server is on fire"
    with pytest.raises((ImageBuildError, ToolMissing), match="server is on fire"):
        builder(running).build(plan, HERE, ignore)


def test_problems(running: double.Engine, plan: ImagePlan) -> None:
    """What cannot work is said before anything is done."""
    nowhere = DockerBuilder(Surroundings(environment={"DOCKER_HOST": "unix:///nope.sock"}))
    assert builder(running).problems(plan, HERE) == ()
    assert builder(running).problems(plan, THERE) == ()
    assert "not to a folder" in builder(running).problems(plan, ToFolder(folder="x"))[0]
    with pytest.raises(ToolMissing, match=r"no Docker Engine answers at unix:///nope\.sock"):
        nowhere.problems(plan, HERE)
    with pytest.raises(ToolMissing, match="no Docker Engine answers"):
        nowhere.build(plan, HERE, ignore)
    with pytest.raises(ImageBuildError, match="not to a folder"):
        builder(running).build(plan, ToFolder(folder="x"), ignore)
