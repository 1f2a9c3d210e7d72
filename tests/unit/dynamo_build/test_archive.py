"""Digests, listings and tars."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build import archive
from dynamo_build.errors import StoreError
from support.effort import examples

PARTS = st.from_regex(r"[a-zA-Z0-9äöü ._-]{1,40}", fullmatch=True).filter(lambda part: part.strip(".") != "")
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=2000), st.booleans()),
    max_size=6,
).filter(lambda tree: not any(other.startswith(name + "/") for name in tree for other in tree))


def write(folder: Path, tree: dict[str, tuple[bytes, bool]], umask: int) -> None:
    before = os.umask(umask)
    try:
        for name in sorted(tree, reverse=bool(umask)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tree[name][0])
            if tree[name][1]:
                path.chmod(0o744)
    finally:
        os.umask(before)


def packed(folder: Path, names: list[str]) -> bytes:
    stream = io.BytesIO()
    archive.pack(folder, names, stream)
    return stream.getvalue()


@settings(max_examples=examples(25), deadline=None)
@given(TREES)
def test_same_files_same_bytes(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[bytes, bool]]) -> None:
    """Another folder, umask, order and time give the same tar; unpacking gives the same files."""
    one, two, three = (tmp_path_factory.mktemp(name) for name in ("one", "two", "three"))
    write(one, tree, 0o022)
    write(two, tree, 0o077)
    content = packed(one, list(tree))
    assert content == packed(two, list(reversed(tree)))
    assert set(archive.unpack(io.BytesIO(content), three)) == set(tree)
    for name, (data, executable) in tree.items():
        assert (three / name).read_bytes() == data
        assert bool((three / name).stat().st_mode & 0o100) == executable


def test_the_listing_is_what_sha256sum_reads(tmp_path: Path) -> None:
    """`sha256sum --check` accepts it, and reading gives it back."""
    (tmp_path / "a b").write_bytes(b"x")
    content = archive.listing([("a b", archive.file_digest(tmp_path / "a b").removeprefix("sha256:"))])
    (tmp_path / "list").write_bytes(content)
    assert (
        subprocess.run(["sha256sum", "--check", "--strict", "list"], cwd=tmp_path, capture_output=True).returncode == 0
    )
    assert list(archive.read_listing(content)) == ["a b"]


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


HOSTILE = {
    "escape": [entry("../x", content=b"x")],
    "deep escape": [entry("a/../../x", content=b"x")],
    "absolute": [entry("/tmp/x", content=b"x")],
    "link out": [entry("x", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [entry("x", tarfile.LNKTYPE, linkname="y")],
    "device": [entry("x", tarfile.CHRTYPE)],
    "fifo": [entry("x", tarfile.FIFOTYPE)],
    "folder": [entry("x", tarfile.DIRTYPE)],
    "twice": [entry("x", content=b"1"), entry("x", content=b"2")],
    "file and folder": [entry("x", content=b"1"), entry("x/y", content=b"2")],
    "dot": [entry("./x", content=b"1")],
    "bomb": [entry("x", content=b"1" * 5000)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, name: str) -> None:
    """Escapes, links, devices, duplicates and bombs: one StoreError, nothing outside."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, content in HOSTILE[name]:
            tar.addfile(info, io.BytesIO(content))
    inside = tmp_path / "in"
    inside.mkdir()
    with pytest.raises(StoreError):
        archive.unpack(io.BytesIO(stream.getvalue()), inside, limit=4096)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_damaged_archives_are_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int) -> None:
    """Noise and truncation never raise anything but StoreError."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "f").write_bytes(b"content" * 300)
    content = packed(folder, ["f"])
    for hostile in (noise, content[:cut], content[:cut] + noise):
        target = tmp_path_factory.mktemp("out")
        try:
            archive.unpack(io.BytesIO(hostile), target)
        except StoreError:
            pass


@pytest.mark.parametrize("line", ["x", "0" * 64 + "  ../x", "0" * 64 + "  /x", "0" * 63 + "  x", "0" * 64 + " x"])
def test_damaged_listings_are_refused(line: str) -> None:
    """A line of another form, or a path that leads out, is a StoreError."""
    with pytest.raises(StoreError):
        archive.read_listing(f"{line}\n".encode())
