"""Digests, listings and tars."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build.bento import archive
from dynamo_build.errors import StoreError
from dynamo_build.system.atomic import is_safe_path
from dynamo_build.system.digest import digest_file, format_digests
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
    archive.write_archive(folder, digests(folder, names), stream)
    return stream.getvalue()


def digests(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: digest_file(folder / name) for name in names}


def unfolded(content: bytes) -> bytes:
    """What GNU zstd would give: the format is the library's, not ours."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


@settings(max_examples=examples(25), deadline=None)
@given(TREES)
def test_same_files_same_bytes(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[bytes, bool]]) -> None:
    """Another folder, umask, order and time give the same tar; unpacking gives the same files."""
    one, two, three = (tmp_path_factory.mktemp(name) for name in ("one", "two", "three"))
    write(one, tree, 0o022)
    write(two, tree, 0o077)
    content = packed(one, list(tree))
    assert content == packed(two, list(reversed(tree)))
    assert set(archive.extract_archive(io.BytesIO(content), three)) == set(tree)
    for name, (data, executable) in tree.items():
        assert (three / name).read_bytes() == data
        assert bool((three / name).stat().st_mode & 0o100) == executable


def test_the_listing_is_what_sha256sum_reads(tmp_path: Path) -> None:
    """`sha256sum --check` accepts it, and reading gives it back."""
    (tmp_path / "a b").write_bytes(b"x")
    content = format_digests([("a b", digest_file(tmp_path / "a b").removeprefix("sha256:"))])
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


@pytest.mark.parametrize("compressed", [False, True], ids=["tar", "zstd"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, name: str, compressed: bool) -> None:
    """Escapes, links, devices, duplicates and bombs: one StoreError, nothing outside."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, content in HOSTILE[name]:
            tar.addfile(info, io.BytesIO(content))
    inside = tmp_path / "in"
    inside.mkdir()
    with pytest.raises(StoreError):
        content = stream.getvalue()
        content = zstandard.ZstdCompressor().compress(content) if compressed else content
        archive.extract_archive(io.BytesIO(content), inside, limit=4096)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_it_is_a_tar_that_others_read(tmp_path: Path) -> None:
    """Also with names that are long or not ASCII; and without compression it is that tar."""
    tree = {"a/" + "long" * 60: (b"x" * 600, False), "é": (b"", True), "b" * 99: (b"1", False)}
    write(tmp_path, tree, 0o022)
    content = unfolded(packed(tmp_path, list(tree)))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {entry.name: (entry.size, entry.mode, entry.mtime) for entry in tar} == {
            name: (len(data), 0o755 if executable else 0o644, archive.STAMP)
            for name, (data, executable) in tree.items()
        }
    plain = io.BytesIO()
    archive.write_archive(tmp_path, digests(tmp_path, list(tree)), plain, compressed=False)
    assert plain.getvalue() == content and len(content) % 10240 == 0


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300).filter(
        lambda name: is_safe_path(name)
    ),
    st.one_of(st.integers(0, 10**6), st.integers(8**11 - 2, 1 << 45)),
    st.booleans(),
)
def test_headers_are_read_by_others(name: str, size: int, executable: bool) -> None:
    """Whatever the name and the size; they do not depend on Python's own writer, which changed over time."""
    mode = 0o755 if executable else 0o644
    head = archive._build_header(name, size, mode)
    assert len(head) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(head + bytes(1024)), mode="r|", encoding="utf-8", errors="strict") as tar:
        found = tar.next()
    assert found is not None
    assert (found.name, found.size, found.mode, found.mtime) == (name, size, mode, archive.STAMP)
    assert found.isreg() and (found.uid, found.gid, found.uname, found.gname) == (0, 0, "", "")


def test_a_changed_file_is_not_packed(tmp_path: Path) -> None:
    """It is named."""
    write(tmp_path, {"a": (b"1", False), "b": (b"2", False)}, 0o022)
    wanted = {**digests(tmp_path, ["a", "b"]), "b": "sha256:" + "0" * 64}
    with pytest.raises(StoreError, match="`b` was changed"):
        archive.write_archive(tmp_path, wanted, io.BytesIO())


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the disk; no window asks for more memory than ours."""
    monkeypatch.setattr(archive, "SMALL", 1 << 20)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for number in range(20):
            info, content = entry(str(number), content=bytes(1 << 20))
            tar.addfile(info, io.BytesIO(content))
    bomb = zstandard.ZstdCompressor().compress(stream.getvalue())
    with pytest.raises(StoreError, match="unfolds to more than"):
        archive.extract_archive(io.BytesIO(bomb), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 << 20
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    wide = writer.compress(stream.getvalue()) + writer.flush()
    with pytest.raises(StoreError, match="damaged"):
        archive.extract_archive(io.BytesIO(wide), tmp_path)


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_damaged_archives_are_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int) -> None:
    """Noise and truncation never raise anything but StoreError."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "f").write_bytes(b"content" * 300)
    content = packed(folder, ["f"])
    plain = unfolded(content)
    squeezed = zstandard.ZstdCompressor().compress(plain[: cut * 3] + noise)
    for hostile in (noise, content[:cut], content[:cut] + noise, plain[:cut], plain[:cut] + noise, squeezed):
        target = tmp_path_factory.mktemp("out")
        try:
            archive.extract_archive(io.BytesIO(hostile), target)
        except StoreError:
            pass


@pytest.mark.parametrize("line", ["x", "0" * 64 + "  ../x", "0" * 64 + "  /x", "0" * 63 + "  x", "0" * 64 + " x"])
def test_damaged_listings_are_refused(line: str) -> None:
    """A line of another form, or a path that leads out, is a StoreError."""
    with pytest.raises(StoreError):
        archive.read_listing(f"{line}\n".encode())
