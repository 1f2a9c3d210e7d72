"""OCI image layouts in folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.oci import layout, validate
from support import handmade


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """An image comes back with its digest, under each of its tags."""
    made = handmade.image()
    assert layout.write_image(tmp_path / "x", made, ("a", "b")) == made.digest
    for tag in ("a", "b"):
        assert validate.find_image_problems(layout.read_image(tmp_path / "x", "linux/amd64", tag)) == ()
        assert layout.resolve_digest(tmp_path / "x", tag) == made.digest
    assert not list(tmp_path.rglob(".new-*"))


def test_other_entries_stay(tmp_path: Path) -> None:
    """A second image joins the first; a tag that is written again moves."""
    one, two = handmade.image(b"1"), handmade.image(b"2")
    layout.write_image(tmp_path, one, ("a",))
    layout.write_image(tmp_path, two, ("b",))
    assert (layout.resolve_digest(tmp_path, "a"), layout.resolve_digest(tmp_path, "b")) == (one.digest, two.digest)
    layout.write_image(tmp_path, two, ("a",))
    assert layout.resolve_digest(tmp_path, "a") == two.digest
    assert len(json.loads((tmp_path / "index.json").read_bytes())["manifests"]) == 2


def test_an_entry_must_be_named_when_there_are_several(tmp_path: Path) -> None:
    """Without a tag the only image is meant; with several the names are told."""
    layout.write_image(tmp_path, handmade.image(b"1"), ("a",))
    assert layout.resolve_digest(tmp_path)
    layout.write_image(tmp_path, handmade.image(b"2"), ("b",))
    with pytest.raises(RegistryError, match="holds 2 images"):
        layout.resolve_digest(tmp_path)
    with pytest.raises(RegistryError, match="holds no image `c`"):
        layout.resolve_digest(tmp_path, "c")


def test_a_folder_without_a_layout_says_so(tmp_path: Path) -> None:
    """One clear line."""
    with pytest.raises(RegistryError, match="is not an OCI image layout"):
        layout.read_image(tmp_path, "linux/amd64")


def test_damaged_blobs_are_noticed(tmp_path: Path) -> None:
    """A manifest, a config or a layer with other content than its digest is refused."""
    made = handmade.image()
    for digest in (made.digest, made.config_digest):
        folder = tmp_path / digest[-8:]
        layout.write_image(folder, made, ("a",))
        (folder / "blobs" / digest.replace(":", "/")).write_bytes(b"{}")
        with pytest.raises(RegistryError, match="other content"):
            layout.read_image(folder, "linux/amd64", "a")
    layout.write_image(tmp_path / "l", made, ("a",))
    (tmp_path / "l/blobs" / made.layers[0].digest.replace(":", "/")).write_bytes(b"x" * made.layers[0].size)
    assert validate.find_image_problems(layout.read_image(tmp_path / "l", "linux/amd64", "a"))


def test_the_folder_is_the_same_bytes_twice(tmp_path: Path) -> None:
    """Two layouts of one image are equal, file by file."""
    for name in ("x", "y"):
        layout.write_image(tmp_path / name, handmade.image(), ("a",))
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("x", "y")
    ]
    assert files[0] == files[1]


def test_a_read_only_place_is_one_line(tmp_path: Path) -> None:
    """A place that cannot be written is a RegistryError."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot be written"):
        layout.write_image(tmp_path / "file" / "x", handmade.image(), ("a",))
