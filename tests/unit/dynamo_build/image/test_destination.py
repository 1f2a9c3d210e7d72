"""Where an image goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.events import ignore
from dynamo_build.image.destination import choose_cache_sources, choose_destination
from dynamo_build.model.image import ContainerizeOptions, Destination, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference


def to(home: Path, *, service: str = "", **wanted: Any) -> Destination:
    environment = {"DYNAMO_HOME": str(home), "DOCKER_HOST": f"unix://{home}/none.sock"}
    return choose_destination("hello", "v1", service, ContainerizeOptions(**wanted), environment, ignore)


def names(found: Destination) -> list[str]:
    assert isinstance(found, ToRegistry)
    return [str(reference) for reference in found.references]


def test_a_push(tmp_path: Path) -> None:
    """By registry alone, by whole names, by several tags; a tag is added where there is none."""
    assert names(to(tmp_path, push=True, registry="r:5000")) == ["r:5000/hello:v1"]
    assert names(to(tmp_path, push=True, references=("r.io/a/b:1", "r.io/a/b"))) == ["r.io/a/b:1", "r.io/a/b:v1"]
    assert names(to(tmp_path, push=True, registry="r:5000", references=("a/b:1",))) == ["r:5000/a/b:1"]


def test_the_images_of_other_services_have_their_names(tmp_path: Path) -> None:
    """In the tag, in a form that a tag may have."""
    assert names(to(tmp_path, service="My_Service", push=True, registry="r:5000")) == ["r:5000/hello:v1-my-service"]


def test_folders(tmp_path: Path) -> None:
    """By flag, by name, or in the store when no engine answers."""
    assert to(tmp_path, folder="/x/y") == ToFolder(folder="/x/y", tag="v1")
    assert to(tmp_path, references=("oci:/x/y:t",)) == ToFolder(folder="/x/y", tag="t")
    assert to(tmp_path) == ToFolder(folder=f"{tmp_path}/images/hello", tag="v1")


@pytest.mark.parametrize(
    "wanted",
    [
        {"push": True},
        {"push": True, "folder": "x", "registry": "r:1"},
        {"push": True, "references": ("a/b:1",)},
        {"push": True, "references": ("oci:/x:1",)},
        {"push": True, "references": ("r.io/a:1", "r.io/b:1")},
        {"push": True, "references": ("r.io/a:1@sha256:" + "0" * 64,)},
    ],
)
def test_contradictions(tmp_path: Path, wanted: dict[str, Any]) -> None:
    """A push without a place, two destinations, two repositories or a digest are refused with a hint."""
    with pytest.raises(UsageError) as failed:
        to(tmp_path, **wanted)
    assert failed.value.hints


def test_earlier_images_by_default() -> None:
    """What the names point to now, then the last image of the repository, which a tag per platform marks."""
    to = ToRegistry(references=(ImageReference.parse("registry.example/team/app:v2"),))
    images, tag = choose_cache_sources(to, "", "linux/arm64", ContainerizeOptions())
    assert [str(image) for image in images] == [
        "registry.example/team/app:v2",
        "registry.example/team/app:dynamo-cache-arm64",
    ]
    assert tag == "dynamo-cache-arm64"
    assert choose_cache_sources(to, "Worker", "linux/amd64", ContainerizeOptions())[1] == "dynamo-cache-amd64-worker"


def test_earlier_images_as_asked() -> None:
    """Named ones come first; `none` turns either side off; a folder has none of its own."""
    to = ToRegistry(references=(ImageReference.parse("registry.example/team/app:v2"),))
    other = "registry.example/other:1"
    images, tag = choose_cache_sources(
        to, "", "linux/amd64", ContainerizeOptions(cache_from=(other, "none"), cache_to="none")
    )
    assert ([str(image) for image in images], tag) == ([other], "")
    assert choose_cache_sources(to, "", "linux/amd64", ContainerizeOptions(cache_to="main"))[1] == "main"
    assert choose_cache_sources(ToFolder(folder="/x"), "", "linux/amd64", ContainerizeOptions()) == ((), "")
