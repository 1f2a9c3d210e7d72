"""Who builds an image, and why."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.cli import app
from dynamo_build.errors import ImageBuildError, ToolMissing
from dynamo_build.events import Event, Noted, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions, SetupCommand, SystemPackages, ToFolder
from dynamo_build.pipeline.containerize import choose_builder, containerize, plan_images
from dynamo_build.seams import Surroundings
from support import handmade


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """Surroundings without an engine, and without programs that build."""
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": str(tmp_path)}
    return catalog.default_surroundings(environment, tmp_path / "cache")


@pytest.fixture
def bento(tmp_path: Path) -> Bento:
    return handmade.bento(tmp_path / "bento")


@pytest.fixture
def options(tmp_path: Path) -> ContainerizeOptions:
    base = handmade.base_folder(tmp_path / "base")
    return ContainerizeOptions(bases=(str(base),), folder=str(tmp_path / "out"), builder="auto")


def told(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Noted) and event.text.startswith("building")]


def test_auto_takes_the_daemonless_one(bento: Bento, options: ContainerizeOptions, around: Surroundings) -> None:
    """Where nothing runs in the image no daemon is asked for, and that is said."""
    heard: list[Event] = []
    (image,) = containerize(bento, options, around, heard.append)
    assert image.builder == "oci"
    assert told(heard) == ["building with `oci`: this plan needs neither a daemon nor root"]


def test_auto_says_why_none_can(bento: Bento, options: ContainerizeOptions, around: Surroundings) -> None:
    """Every builder's reason is in the one line."""
    packed = Bento(manifest=replace(bento.manifest, system_packages=("ffmpeg",)), folder=bento.folder)
    with pytest.raises(ImageBuildError) as refused:
        containerize(packed, options, around)
    assert "`oci` cannot: system packages" in refused.value.message
    assert "`docker` cannot: " in refused.value.message and "\n" not in refused.value.message


def test_auto_goes_on_to_the_next(
    bento: Bento, options: ContainerizeOptions, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first builder cannot, the next one does; the reason is told."""
    (planned,) = plan_images(bento, options, around)

    class Willing:
        def __init__(self, _: Surroundings) -> None: ...

        def problems(self, *_: object) -> tuple[str, ...]:
            return ()

    monkeypatch.setitem(catalog.BUILDERS, "docker", f"{__name__}:Willing")
    monkeypatch.setattr(catalog, "_make_implementation", lambda kind, group, known, name, around, made=catalog._make_implementation: (
        Willing(around) if name == "docker" else made(kind, group, known, name, around)
    ))  # fmt: skip
    heard: list[Event] = []
    layers = (SystemPackages(names=("ffmpeg",)), SetupCommand(command="true"))
    chosen = choose_builder([(replace(planned[0], layers=layers), planned[1])], around, heard.append)
    assert isinstance(chosen, Willing)
    assert told(heard)[0].startswith("building with `docker`, since `oci` cannot: system packages need a command")


def test_a_builder_that_is_not_there(bento: Bento, options: ContainerizeOptions, around: Surroundings) -> None:
    """`--builder docker` without an engine is a missing tool."""
    wanted = replace(options, builder="docker", folder="", references=("registry.example/app:v1",), push=True)
    with pytest.raises(ToolMissing, match="no Docker Engine answers at unix:"):
        containerize(bento, wanted, around, ignore)


def test_it_ends_with_the_code_of_a_missing_tool(
    bento: Bento, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line: exit 15, one line, and what to do."""
    from dynamo_build.bento import bento_yaml

    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    made = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(made.manifest))
    (folder / "build.json").write_text(json.dumps({}))
    handmade.base_folder(tmp_path / "base", tag="v1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    arguments = ["hello:abc", "--builder", "docker", "--base", "oci:base:v1", "-t", "registry.example/a:1", "--push"]
    assert app.run(["containerize", *arguments]) == 15
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: no Docker Engine answers at") and "--builder oci" in lines[-1]


def test_planning_writes_nothing(bento: Bento, options: ContainerizeOptions, around: Surroundings) -> None:
    """Only the base is looked up."""
    ((plan, to),) = plan_images(bento, options, around)
    assert plan.base.digest and isinstance(to, ToFolder) and not Path(to.folder).exists()


def test_a_budget_fails_before_anything_is_delivered(
    bento: Bento, options: ContainerizeOptions, around: Surroundings
) -> None:
    """The line has both numbers, and the folder stays empty."""
    with pytest.raises(ImageBuildError, match=r"its budget is 0\.0 MB") as refused:
        containerize(bento, replace(options, budget=100), around)
    assert "largest layers" in refused.value.hints[0] and not Path(options.folder).exists()
    assert containerize(bento, replace(options, budget=10_000_000), around)


def test_documents_are_attached_when_asked(bento: Bento, options: ContainerizeOptions, around: Surroundings) -> None:
    """A bill of materials and how it was made, in a folder too."""
    from dynamo_build.model.reference import ImageReference
    from support.referrers import attached

    (image,) = containerize(bento, replace(options, attest=True), around)
    named = ImageReference.parse(image.reference)
    found = {item.kind: json.loads(item.content) for item in attached(named, around.registry(named))}
    assert set(found) == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    names = {item["name"] for item in found["application/vnd.cyclonedx+json"]["components"]}
    assert names == {"dynamo-runtime"}
    (again,) = containerize(bento, replace(options, attest=True), around)
    assert again.digest == image.digest


def test_every_compression_gives_the_same_image_inside(
    bento: Bento, options: ContainerizeOptions, around: Surroundings, tmp_path: Path
) -> None:
    """One config and one list of diff ids; the manifest says what compressed the layers, and all of them are whole."""
    from dynamo_build.image.image_report import read_annotations
    from dynamo_build.oci import layout, validate

    found = {}
    for name in ("gzip", "zlib", "zstd"):
        containerize(bento, replace(options, compression=name, folder=str(tmp_path / name)), around)
        found[name] = layout.read_image(tmp_path / name, "linux/amd64")
        assert validate.find_image_problems(found[name]) == ()
    assert len({image.config_digest for image in found.values()}) == 1
    assert len({image.digest for image in found.values()}) == 3
    kinds = {name: read_annotations(image)["dynamo.compressor"].partition("-")[0] for name, image in found.items()}
    assert kinds == {"gzip": "isal", "zlib": "zlib", "zstd": "zstd"}
    assert {layer.media_type.rpartition("+")[2] for layer in found["zstd"].layers[1:]} == {"zstd"}
