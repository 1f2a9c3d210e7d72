"""buildah and podman, without either of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.builders.buildah import BuildahBuilder, PodmanBuilder, _read_identity, _replace_base
from dynamo_build.errors import ImageBuildError, ToolMissing
from dynamo_build.events import ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import HEALTHCHECK, ImagePlan, ToFolder
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings
from support import handmade


def around(tmp_path: Path) -> Surroundings:
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:/bin:/usr/bin", "DOCKER_HOST": f"unix://{tmp_path}/none"}
    return catalog.default_surroundings(environment, tmp_path / "cache")


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    base = handmade.base_folder(tmp_path / "base")
    found = catalog.default_surroundings({}, tmp_path / "cache").registry(base)
    return plan_image(handmade.bento(tmp_path / "bento"), base.with_digest(found.resolve(base)), "linux/amd64")


def program(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / f"bin/{name}").write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / f"bin/{name}").chmod(0o755)


@pytest.mark.parametrize(("kind", "name"), [(BuildahBuilder, "buildah"), (PodmanBuilder, "podman")])
def test_a_program_that_is_missing(tmp_path: Path, plan: ImagePlan, kind: type[BuildahBuilder], name: str) -> None:
    """Named, with what to do."""
    builder = kind(Surroundings(environment={"PATH": str(tmp_path)}, cache=tmp_path))
    with pytest.raises(ToolMissing, match=f"the program `{name}` is missing"):
        builder.problems(plan, ToFolder(folder="x"))


def test_what_it_is_called_with(tmp_path: Path, plan: ImagePlan) -> None:
    """One build without a daemon, isolated, with fixed times; a failure is its last line."""
    program(tmp_path, "buildah", f'echo "$@" >> {tmp_path}/called; echo "no such thing" >&2; exit 3')
    builder = BuildahBuilder(around(tmp_path))
    assert builder.problems(plan, ToFolder(folder="x")) == ()
    with pytest.raises(ImageBuildError, match="buildah could not build the image: no such thing"):
        builder.build(plan, ToFolder(folder=str(tmp_path / "out")), ignore)
    words = (tmp_path / "called").read_text().split()
    assert words[0] == "build" and "--timestamp" in words and "--isolation" in words
    assert f"BASE_IMAGE=oci:{tmp_path}/base:base" in words
    assert not (tmp_path / "out").exists() and not list((tmp_path / "cache").glob("buildah-*"))


def test_what_is_changed_of_the_result() -> None:
    """The base's own blobs, the health check, and a history without ids drawn by chance."""
    base = handmade.image()
    packed_anew = replace(base.layers[0], digest="sha256:" + "1" * 64, size=7)
    built = OciImage.compose(
        {**base.document, "history": [{"created_by": "base"}, {"created_by": "COPY", "comment": "FROM 64b863e073c1"}]},
        [packed_anew, handmade.packed([Entry(path="app/a", content=b"a")])],
    )
    image = _replace_base(base, built)
    assert image.layers[0].digest == base.layers[0].digest and validate.find_image_problems(image) == ()
    assert image.document["history"][1] == {"created_by": "COPY"}
    assert image.settings["Healthcheck"]["Test"] == HEALTHCHECK["Test"]


def test_how_it_names_a_base() -> None:
    """By digest where there is one; a folder as its transport has it."""
    digest = "sha256:" + "a" * 64
    assert (
        _read_identity(ImageReference.parse(f"registry.example/base:1@{digest}")) == f"registry.example/base@{digest}"
    )
    assert _read_identity(ImageReference.parse("registry.example/base:1")) == "registry.example/base:1"
    assert _read_identity(ImageReference.parse("oci:/tmp/base:v1")) == "oci:/tmp/base:v1"
