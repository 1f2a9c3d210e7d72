"""Images as values."""

from __future__ import annotations

import io

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.oci import validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from support import handmade


def test_layers_are_appended_with_history() -> None:
    """Each new layer has one history entry, so that tools that count them agree."""
    base = handmade.image()
    image = base.with_layers([handmade.packed([Entry(path="app/a", content=b"1")], "code")])
    assert validate.find_image_problems(image) == ()
    assert [layer.digest for layer in image.layers][:1] == [base.layers[0].digest]
    assert image.document["history"][-1]["created_by"] == "dynamo: code"
    assert len(image.document["history"]) == 2


def test_a_base_without_history_gets_one() -> None:
    """A config whose history does not fit its layers is mended, not carried on."""
    bare = OciImage.compose({"os": "linux", "architecture": "amd64"}, handmade.image().layers)
    image = bare.with_layers([handmade.packed([Entry(path="a", content=b"")])])
    assert validate.find_image_problems(image) == ()


def test_settings_change_the_config_only() -> None:
    """Other settings give another config over the same layers."""
    base = handmade.image()
    image = base.with_config({"User": "10001:0"}, {"note": "x"})
    assert image.layers == base.layers
    assert image.settings == {"User": "10001:0"}
    assert image.digest != base.digest
    assert handmade.document(image.manifest)["annotations"] == {"note": "x"}


def test_a_read_image_keeps_its_bytes() -> None:
    """Reading documents back gives the same digest; layers open by digest and size."""
    made = handmade.image()
    asked = []

    def source(digest: str, size: int) -> io.BytesIO:
        asked.append((digest, size))
        return io.BytesIO(made.layers[0].open().read())

    read = OciImage.from_documents(made.manifest, made.config, source)
    assert (read.digest, read.config_digest, read.platform) == (made.digest, made.config_digest, "linux/amd64")
    read.layers[0].open().read()
    assert asked == [(made.layers[0].digest, made.layers[0].size)]


def test_a_config_of_another_image_is_refused() -> None:
    """A manifest and a config with different numbers of layers are no image."""
    made = handmade.image()
    with pytest.raises(RegistryError, match="1 layers"):
        OciImage.from_documents(made.manifest, b'{"rootfs":{"diff_ids":[]}}', lambda digest, size: io.BytesIO())
