"""Images of several platforms under one name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.sdk import codec
from dynamo_build import catalog
from dynamo_build.errors import UsageError
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents, layout, validate
from dynamo_build.pipeline.containerize import containerize
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import running

BOTH = ("linux/amd64", "linux/arm64")


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return catalog.default_surroundings({"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nowhere"}, tmp_path / "cache")


@pytest.fixture
def bento(tmp_path: Path) -> Bento:
    return handmade.bento(tmp_path / "bento", platforms=BOTH)


def base(folder: Path) -> str:
    """A base of both platforms, as an index in a folder."""
    entries = []
    for platform in BOTH:
        image = handmade.image(platform=platform)
        layout.write_image(folder, image, (platform.rpartition("/")[2],))
        system, _, architecture = platform.partition("/")
        place = {"os": system, "architecture": architecture}
        entries.append(
            {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest), "platform": place}
        )
    content = {"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": entries}
    layout.write_index(folder, codec.encode_canonical(content), ("both",))
    return f"oci:{folder}:both"


def test_an_index_in_a_registry(tmp_path: Path, bento: Bento, around: Surroundings) -> None:
    """One name for both; each platform is whole, and the same as built alone; a second run changes nothing."""
    with running() as (address, content):
        name = f"{address}/team/app:v1"
        options = ContainerizeOptions(
            bases=(base(tmp_path / "base"),), references=(name,), push=True, platform=",".join(BOTH)
        )
        (image,) = containerize(bento, options, around)
        assert image.platform == "linux/amd64,linux/arm64" and image.reference == f"{address}/team/app@{image.digest}"
        held = ImageReference.parse(name)
        registry = around.registry(held)
        assert str(registry.resolve(held)) == image.digest
        found = {platform: registry.pull(held, platform) for platform in BOTH}
        assert [validate.find_image_problems(one) for one in found.values()] == [(), ()]
        alone = replace(options, platform="linux/arm64", references=(f"{address}/team/app:arm",))
        assert containerize(bento, alone, around)[0].digest == found["linux/arm64"].digest
        content.requests.clear()
        assert containerize(bento, options, around)[0].digest == image.digest
        assert content.blobs_sent() == 0


def test_an_index_in_a_folder(tmp_path: Path, bento: Bento, around: Surroundings) -> None:
    """The index under the name that was asked for, each platform under one of its own."""
    folder = tmp_path / "out"
    options = ContainerizeOptions(
        bases=(base(tmp_path / "base"),), references=("app:v1",), folder=str(folder), platform=",".join(BOTH)
    )
    (image,) = containerize(bento, options, around)
    assert layout.resolve_digest(folder, "v1") == image.digest
    for platform in BOTH:
        found = layout.read_image(folder, platform, "v1")
        assert found.platform == platform and validate.find_image_problems(found) == ()
        assert found.digest == layout.resolve_digest(folder, f"v1-{platform.rpartition('/')[2]}")


def test_an_engine_holds_one(tmp_path: Path, bento: Bento, around: Surroundings) -> None:
    """Said before anything is built."""
    from dynamo_build.image.index import derive_destination
    from dynamo_build.model.image import ToEngine

    with pytest.raises(UsageError, match="one platform"):
        derive_destination(ToEngine(reference=ImageReference.parse("a:b")), "linux/amd64")
