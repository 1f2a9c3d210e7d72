"""Folders as registries, beyond the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layout
from dynamo_build.registries.folder import FolderRegistry
from dynamo_build.seams import Surroundings
from support import handmade


def test_without_a_tag_it_is_latest(tmp_path: Path) -> None:
    """A push without a tag is named `latest`."""
    to = ImageReference.parse(f"oci:{tmp_path}/x")
    FolderRegistry(Surroundings(environment={}, cache=tmp_path)).push(handmade.image(), (to,), ignore)
    assert layout.resolve_digest(tmp_path / "x", "latest")


def test_a_server_is_no_folder(tmp_path: Path) -> None:
    """A reference to a server is refused."""
    with pytest.raises(RegistryError, match="not an image in a folder"):
        FolderRegistry(Surroundings(environment={}, cache=tmp_path)).resolve(ImageReference.parse("localhost/x:y"))
