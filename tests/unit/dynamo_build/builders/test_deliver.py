"""Delivery of a finished image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.builders.deliver import deliver_image
from dynamo_build.events import Event, LayerPushed, Listener, Started
from dynamo_build.model.image import ContainerizeOptions, ImagePlan, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.pipeline import containerize
from dynamo_build.registries.folder import FolderRegistry
from dynamo_build.seams import Surroundings
from support import handmade


class Recorder:
    """A registry that has the first layer of an image already, and keeps what it was asked."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def push(self, image: OciImage, references: Sequence[ImageReference], on: Listener) -> None:
        self.tags = [reference.tag for reference in references]
        for index, layer in enumerate(image.layers):
            on(LayerPushed(digest=layer.digest, how="sent" if index else "there"))
        on(Started(what="tags"))


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    around = Surroundings(environment={}, cache=tmp_path / "cache")
    around = replace(around, registry=lambda _: FolderRegistry(around))
    base = handmade.base_folder(tmp_path / "base")
    options = ContainerizeOptions(bases=(str(base),), folder=str(tmp_path / "out"))
    ((plan, _),) = containerize.plan_images(handmade.bento(tmp_path / "bento"), options, around)
    return plan


def test_a_registry_is_told_every_tag_and_tells_what_was_sent(plan: ImagePlan) -> None:
    """Events of layers become facts of the result; all others go on to the listener."""
    registry, heard = Recorder(), list[Event]()
    image = handmade.image().with_layers([handmade.packed([], "code")])
    to = ToRegistry(references=(ImageReference.parse("registry.example/app:v1"),))
    around = Surroundings(registry=lambda _: registry)  # type: ignore[arg-type, return-value]
    made = deliver_image(image, plan, to, around, heard.append, builder="oci", kept_as="kept")
    assert registry.tags == ["v1", "kept"]
    assert made.reference == f"registry.example/app@{image.digest}"
    assert [(layer.name, layer.sent) for layer in made.layers] == [("layer", False), ("code", True)]
    assert heard == [Started(what="tags")]


def test_a_folder_holds_the_image(plan: ImagePlan, tmp_path: Path) -> None:
    """Under its tag, and readable from there."""
    image = handmade.image()
    around = Surroundings(environment={}, cache=tmp_path / "cache")
    around = replace(around, registry=lambda _: FolderRegistry(around))
    made = deliver_image(image, plan, ToFolder(folder=str(tmp_path / "there"), tag="v2"), around, print, builder="oci")
    reference = ImageReference.parse(made.reference)
    assert reference.tag == "v2"
    assert FolderRegistry(around).pull(reference, "linux/amd64").digest == image.digest
