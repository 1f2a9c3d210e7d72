"""The cache of layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import ImageBuildError
from dynamo_build.oci.cache import LayerCache
from dynamo_build.oci.layer import Entry

ENTRIES = [Entry(path="a", content=b"content")]


def test_a_key_finds_its_layer(tmp_path: Path) -> None:
    """What was kept is found again, by another process too; an unknown key is not."""
    kept = LayerCache(tmp_path).make_layer("key", ENTRIES, "code")
    found = LayerCache(tmp_path).find_layer("key", "code")
    assert found == kept
    assert found.open().read() == kept.open().read()
    assert LayerCache(tmp_path).find_layer("other", "code") is None


def test_the_same_tar_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`made` compresses only what it has not met."""
    cache = LayerCache(tmp_path)
    first = cache.find_or_make(ENTRIES, "code")
    monkeypatch.setattr(cache, "make_layer", None)
    assert cache.find_or_make(ENTRIES, "code") == first


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b'{"digest":"sha256:../x","diff_id":"","size":0}'])
def test_damaged_keys_are_misses(tmp_path: Path, damage: bytes) -> None:
    """A key file that says nothing useful is as good as none."""
    cache = LayerCache(tmp_path)
    cache.make_layer("key", ENTRIES, "code")
    next((tmp_path / "keys").iterdir()).write_bytes(damage)
    assert cache.find_layer("key", "code") is None


def test_a_damaged_blob_heals(tmp_path: Path) -> None:
    """A blob with other bytes is never sent: it is removed, and made anew the next time."""
    cache = LayerCache(tmp_path)
    kept = cache.make_layer("key", ENTRIES, "code")
    blob = next((tmp_path / "blobs").iterdir())
    blob.write_bytes(b"x" * kept.size)
    with pytest.raises(ImageBuildError, match="damaged"):
        cache.find_layer("key", "code").open()
    assert cache.find_layer("key", "code") is None
    assert cache.find_or_make(ENTRIES, "code").open().read()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """A build that fails in mid-layer leaves neither a key nor a part of a blob."""
    with pytest.raises(ImageBuildError):
        LayerCache(tmp_path).make_layer("key", [Entry(path="a", content=tmp_path / "missing")], "code")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """One clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageBuildError, match="cannot be written"):
        LayerCache(tmp_path / "file" / "cache").make_layer("key", ENTRIES, "code")
