"""A bento in a registry and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.bento.export import export
from dynamo_build.bento.pack import pack
from dynamo_build.bento.registry import KIND, pull_bento, push_bento
from dynamo_build.bento.store import Store
from dynamo_build.errors import RegistryError
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layout
from support import registry
from support.command_line import dynamo
from support.handmade import image
from support.projects import LOCK, planned, write_project


@pytest.fixture
def bento(tmp_path: Path) -> Bento:
    return pack(planned(write_project(tmp_path / "p", {"a/b": "x" * 5000})), LOCK, Store(tmp_path / "home"))


@pytest.fixture(params=["http", "folder"])
def reference(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageReference]:
    """A place in a server, and one in a folder."""
    if request.param == "folder":
        yield ImageReference.parse(f"oci:{tmp_path / 'layout'}:v1")
        return
    with registry.running() as (address, _):
        yield ImageReference.parse(f"{address}/bentos/frontend:v1")


def test_what_is_pushed_is_pulled(tmp_path: Path, bento: Bento, reference: ImageReference) -> None:
    """The same bento in another store; pushing again gives the same digest; nothing temporary is left."""
    around = catalog.default_surroundings().registry(reference)
    store, other = Store(tmp_path / "home"), Store(tmp_path / "other")
    named = push_bento(bento, reference, around, store)
    assert named == push_bento(bento, reference, around, store)
    fetched = pull_bento(ImageReference.parse(named), catalog.default_surroundings().registry(reference), other)
    assert fetched.manifest == bento.manifest
    assert export(fetched, tmp_path / "1").read_bytes() == export(bento, tmp_path / "2").read_bytes()
    assert os.listdir(store.root / "tmp") == os.listdir(other.root / "tmp") == [".lock"]
    pulled = catalog.default_surroundings().registry(reference).pull(reference, "linux/amd64")
    assert json.loads(pulled.manifest)["artifactType"] == KIND


def test_an_image_is_not_taken_for_a_bento(tmp_path: Path) -> None:
    """One line; the store stays empty."""
    layout.write_image(tmp_path / "layout", image(), ("base",))
    reference = ImageReference.parse(f"oci:{tmp_path / 'layout'}:base")
    with pytest.raises(RegistryError, match="is not a bento"):
        pull_bento(reference, catalog.default_surroundings().registry(reference), Store(tmp_path / "home"))
    assert Store(tmp_path / "home").list_bentos() == ()


def test_a_changed_blob_is_refused(tmp_path: Path, bento: Bento) -> None:
    """Of the archive in the registry: nothing of it enters the store."""
    reference = ImageReference.parse(f"oci:{tmp_path / 'layout'}:v1")
    push_bento(bento, reference, catalog.default_surroundings().registry(reference), Store(tmp_path / "home"))
    blob = max((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(content.replace(b"xxx", b"xyx", 1))
    other = Store(tmp_path / "other")
    with pytest.raises(RegistryError, match="other content"):
        pull_bento(reference, catalog.default_surroundings().registry(reference), other)
    assert other.list_bentos() == () and os.listdir(other.root / "tmp") == [".lock"]


def test_on_the_command_line(tmp_path: Path, bento: Bento) -> None:
    """`dynamo push` prints a reference that `dynamo pull` takes; the tag is the version."""
    home = {"DYNAMO_HOME": str(tmp_path / "home")}
    done = dynamo("push", "frontend", f"oci:{tmp_path / 'layout'}", "-o", "name", folder=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    found = dynamo("pull", done.stdout.strip(), "-o", "name", folder=tmp_path, DYNAMO_HOME=str(tmp_path / "other"))
    assert (found.returncode, found.stdout.strip()) == (0, bento.tag), found.stderr
    missing = dynamo("pull", f"oci:{tmp_path / 'layout'}:none", folder=tmp_path)
    assert missing.returncode == 13 and "Traceback" not in missing.stderr
