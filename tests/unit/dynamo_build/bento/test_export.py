"""A bento as a file."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo_build.bento.export import export, import_bento
from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from dynamo_build.errors import StoreError
from dynamo_build.model.bento import Bento
from support.effort import examples
from support.projects import LOCK, planned, write_project


@pytest.fixture
def bento(tmp_path: Path) -> Bento:
    project = write_project(tmp_path / "p", {"a/b": "x" * 2000, "run.sh": "y"})
    (project / "run.sh").chmod(0o755)
    return pack(planned(project), LOCK, Store(tmp_path / "home"))


def test_exporting_twice_gives_the_same_bytes_and_importing_the_same_bento(tmp_path: Path, bento: Bento) -> None:
    """Also from the store that it was imported into."""
    one = export(bento, tmp_path / "one.bento")
    other = import_bento(one, Store(tmp_path / "other"))
    assert other.manifest == bento.manifest
    folder = tmp_path / "folder"
    folder.mkdir()
    two = export(other, folder)
    assert two.name == f"frontend-{bento.manifest.version}.bento"
    assert one.read_bytes() == two.read_bytes()
    assert import_bento(one, Store(tmp_path / "other")) == other
    assert Store(tmp_path / "other").list_bentos()[0].services == ("Frontend",)


def test_a_name_that_is_no_file(tmp_path: Path, bento: Bento) -> None:
    """A device is never replaced; a link keeps leading where it led."""
    with pytest.raises(StoreError, match="`/dev/stdout` is not a file"):
        export(bento, Path("/dev/stdout"))
    link = tmp_path / "link"
    link.symlink_to("one.bento")
    assert export(bento, link) == link
    assert link.is_symlink()
    assert import_bento(tmp_path / "one.bento", Store(tmp_path / "other")).manifest == bento.manifest


def test_what_folds_too_far_is_not_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of zeros is written as it is, and taken."""
    monkeypatch.setattr("dynamo_build.bento.archive.SMALL", 1 << 20)
    monkeypatch.setattr("dynamo_build.bento.archive.RATIO", 10)
    project = write_project(tmp_path / "p")
    (project / "zeros").write_bytes(bytes(8 << 20))
    found = pack(planned(project), LOCK, Store(tmp_path / "home"))
    path = export(found, tmp_path / "x.bento")
    assert path.stat().st_size > 8 << 20
    assert import_bento(path, Store(tmp_path / "other")).manifest == found.manifest


def test_a_damaged_bento_is_not_exported(tmp_path: Path, bento: Bento) -> None:
    """The file is named, and nothing is written."""
    (Path(bento.folder) / "src/a/b").write_text("z")
    with pytest.raises(StoreError, match="src/a/b"):
        export(bento, tmp_path / "x.bento")
    assert not [name for name in os.listdir(tmp_path) if "x.bento" in name]


def rewritten(path: Path, change: str) -> bytes:
    """The archive with one member changed, dropped or added."""
    stream = io.BytesIO()
    plain = io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))
    with tarfile.open(fileobj=plain) as source, tarfile.open(fileobj=stream, mode="w") as target:
        for entry in source:
            content = source.extractfile(entry).read()  # type: ignore[union-attr]
            if entry.name == "src/a/b" and change == "drop":
                continue
            if entry.name == "src/a/b" and change == "change":
                content = content.replace(b"x", b"y", 1)
            if entry.name == "bento.yaml" and change == "format":
                content = content.replace(b"format: 1", b"format: 9", 1)
            if entry.name == "bento.yaml" and change == "name":
                content = content.replace(b'name: "frontend"', b'name: "../../x"', 1)
            if entry.name == "bento.yaml" and change == "version":
                content = content.replace(b'version: "', b'version: "a', 1)[: len(content) + 1]
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
        if change == "add":
            entry = tarfile.TarInfo("src/more")
            target.addfile(entry)
    return stream.getvalue()


@pytest.mark.parametrize("change", ["drop", "change", "add", "format", "name"])
def test_archives_that_are_not_what_they_say(tmp_path: Path, bento: Bento, change: str) -> None:
    """Refused in one line, and the store stays empty."""
    path = export(bento, tmp_path / "one.bento")
    path.write_bytes(rewritten(path, change))
    with pytest.raises(StoreError) as caught:
        import_bento(path, Store(tmp_path / "other"))
    assert "\n" not in caught.value.message
    assert Store(tmp_path / "other").list_bentos() == ()
    assert os.listdir(tmp_path / "other/tmp") == [".lock"]


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.integers(0, 10**6), byte=st.integers(1, 255), cut=st.booleans())
def test_any_flipped_or_missing_byte(tmp_path: Path, bento: Bento, place: int, byte: int, cut: bool) -> None:
    """Either it is refused, or what was imported is the very bento (padding may differ)."""
    path = export(bento, tmp_path / "one.bento")
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] ^= byte
    path.write_bytes(content[:place] if cut else content)
    store = Store(tmp_path / "fuzz")
    try:
        assert import_bento(path, store).manifest == bento.manifest
    except StoreError:
        pass
    assert all(not item.broken for item in store.list_bentos())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """One line."""
    with pytest.raises(StoreError, match="no such file"):
        import_bento(tmp_path / "none.bento", Store(tmp_path / "home"))
