"""Layers: the same bytes for the same entries, and nothing unsafe inside."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.errors import ImageBuildError, RegistryError
from dynamo_build.oci import layer
from dynamo_build.oci.layer import Entry
from support.handmade import packed


def members(content: bytes) -> list[tarfile.TarInfo]:
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))).getmembers()


def test_the_bytes_are_pinned() -> None:
    """A known tree has a known diff id on every machine, whatever compressor it has."""
    entries = [Entry(path="app/run", content=b"#!/bin/sh\n", executable=True), Entry(path="app/link", link="run")]
    assert layer.compute_diff_id(entries) == "sha256:1dc42dd4fd7489cdd3f685135748e2f4664779d6d49812bccda05b7b9967e05d"


def test_order_time_and_owner_do_not_show(tmp_path: Path) -> None:
    """Order of the entries, and time, owner and mode of the files, are not in the layer."""
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "a").chmod(0o600)
    entries = [Entry(path=f"x/{name}", content=tmp_path / name) for name in ("b", "a")]
    first = packed(entries)
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "b").chmod(0o664)
    assert packed(entries[::-1]).digest == first.digest
    for member in members(first.open().read()):
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", layer.STAMP)
        assert member.mode in (0o644, 0o755)


def test_parents_come_first() -> None:
    """Each folder above an entry is in the layer, before it."""
    found = [member.name for member in members(packed([Entry(path="a/b-c/d", content=b"")]).open().read())]
    assert found == ["a", "a/b-c", "a/b-c/d"]


def test_digests_are_those_of_both_forms() -> None:
    """The digest is that of the blob, the diff id that of the tar."""
    made = packed([Entry(path="a", content=b"x" * 3_000_000)])
    blob = made.open().read()
    assert made.size == len(blob)
    assert made.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert made.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"
    assert blob[:10] == bytes.fromhex("1f8b0800000000000003")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\0b", "a/"])
def test_unsafe_names_are_refused(path: str) -> None:
    """A name that would leave the root, or mean another one, is not packed."""
    with pytest.raises(ImageBuildError, match="cannot be the name"):
        packed([Entry(path=path, content=b"")])


def test_one_name_once() -> None:
    """Two different files of one name are an error, a folder named twice is not."""
    packed([Entry(path="a"), Entry(path="a"), Entry(path="a/b", content=b"")])
    with pytest.raises(ImageBuildError, match="two files"):
        packed([Entry(path="a", content=b"1"), Entry(path="a", content=b"2")])


def test_a_file_that_shrinks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes between its header and its content does not make a damaged layer."""
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    stream = layer.build_tar([Entry(path="a", content=path)])
    next(stream)
    path.write_bytes(b"1")
    with pytest.raises(ImageBuildError, match="changed while"):
        list(stream)


@pytest.mark.parametrize("content", [b"other", b"longer than promised", b"sh"])
def test_reading_checks_the_digest(content: bytes) -> None:
    """A blob with other bytes than its digest promises never reads to its end."""
    stream = layer.Verified(io.BytesIO(content), f"sha256:{hashlib.sha256(b'right').hexdigest()}", 5)
    with pytest.raises(RegistryError):
        while stream.read(2):
            pass


@given(st.dictionaries(st.text("abc-.é/", min_size=1, max_size=120), st.binary(max_size=600), max_size=8))
def test_what_is_packed_comes_out(files: dict[str, bytes]) -> None:
    """Any safe tree reads back as it went in, with long names and names that are not ASCII."""
    entries = [Entry(path=f"top/{name}", content=content) for name, content in files.items()]
    try:
        made = packed(entries)
    except ImageBuildError:
        return
    archive = tarfile.open(fileobj=io.BytesIO(gzip.decompress(made.open().read())))
    found = {member.name: member for member in archive.getmembers()}
    for entry in entries:
        if any(other.startswith(f"{entry.path}/") for other in found):
            continue
        assert archive.extractfile(found[entry.path]).read() == entry.content


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120),
    st.sampled_from([0o644, 0o755, 0o777]),
    st.integers(0, 8**12),
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]),
)
def test_headers_are_those_of_the_standard_library(name: str, mode: int, size: int, kind: bytes) -> None:
    """Written by hand for speed, and byte for byte what tarfile writes."""
    info = tarfile.TarInfo(name)
    info.mtime, info.mode, info.type = layer.STAMP, mode, kind
    info.size = size if kind == tarfile.REGTYPE else 0
    info.linkname = "é" * (size % 60) if kind == tarfile.SYMTYPE else ""
    wanted = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    assert layer._build_header(name, mode, info.size, kind, info.linkname) == wanted


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_blocks_are_of_one_size(pieces: list[bytes], size: int) -> None:
    """However the bytes come, the compressor sees the same blocks."""
    found = list(layer.split_blocks(pieces, size))
    assert b"".join(found) == b"".join(pieces)
    assert all(len(block) == size for block in found[:-1]) and all(0 < len(block) <= size for block in found)
