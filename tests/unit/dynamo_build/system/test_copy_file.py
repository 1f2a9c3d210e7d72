"""Copying and digesting in one pass: the same bytes, whatever way they take to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest

from dynamo_build.system import copy_file

BLOCK = 8192


def copied(source: Path, target: Path, mode: int = 0o644) -> tuple[bytes, list[int]]:
    told: list[int] = []
    with open(source, "rb", buffering=0) as stream:
        return copy_file.copy_file(stream, source.stat().st_size, str(target), mode, told.append), told


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("size", [0, 1, 511, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 4097])
def test_all_bytes_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, large: int) -> None:
    """Whole blocks of the disk and what is left over, past the cache and through it."""
    monkeypatch.setattr(copy_file, "LARGE", large)
    monkeypatch.setattr(copy_file, "_LARGE_BLOCK", BLOCK)
    content = random.Random(size).randbytes(size)
    (tmp_path / "a").write_bytes(content)
    digest, told = copied(tmp_path / "a", tmp_path / "b", 0o755)
    assert (tmp_path / "b").read_bytes() == content
    assert digest == hashlib.sha256(content).digest()
    assert sum(told) == size
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_disk_that_takes_no_such_writes_gets_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """From the first block on, or from a later one."""
    monkeypatch.setattr(copy_file, "LARGE", 0)
    monkeypatch.setattr(copy_file, "_LARGE_BLOCK", BLOCK)
    content = random.Random(1).randbytes(4 * BLOCK)
    (tmp_path / "a").write_bytes(content)
    real, direct, tries = os.write, [True], []

    def set_direct(target: int, wanted: bool) -> bool:
        was, direct[0] = direct[0], wanted
        return was != wanted

    def write(target: int, view: memoryview) -> int:
        tries.append(direct[0])
        if direct[0] and len(tries) >= refused:
            raise OSError(errno.EINVAL, "invalid argument")
        return real(target, view[: BLOCK // 2])

    monkeypatch.setattr(copy_file, "_set_direct", set_direct)
    monkeypatch.setattr(copy_file.os, "write", write)
    digest, _ = copied(tmp_path / "a", tmp_path / "b")
    monkeypatch.undo()
    assert digest == hashlib.sha256((tmp_path / "b").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert tries.count(True) == refused


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EINVAL, errno.EIO])
def test_a_write_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, large: int) -> None:
    """Whichever thread it fails in."""
    monkeypatch.setattr(copy_file, "LARGE", large)
    (tmp_path / "a").write_bytes(bytes(100))

    def write(target: int, view: memoryview) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(copy_file.os, "write", write)
    with pytest.raises(OSError, match=os.strerror(code)):
        copied(tmp_path / "a", tmp_path / "b")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """A staged bento is new."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        copied(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "b"
