"""Writing that survives a crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynamo_build.system import atomic


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failed write leaves the old content and no temporary file."""
    path = tmp_path / "f"
    atomic.replace_file(path, b"old")
    atomic.replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(TypeError):
        atomic.replace_file(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["f"]


def test_what_was_asked_for_by_name(tmp_path: Path) -> None:
    """A link stays one, and a name that leads to an open file or a device is written through."""
    path, link = tmp_path / "f", tmp_path / "link"
    link.symlink_to(path)
    atomic.write_output(link, "old")
    atomic.write_output(link, "new")
    assert (path.read_text(), link.is_symlink(), sorted(os.listdir(tmp_path))) == ("new", True, ["f", "link"])
    with path.open("w") as stream:
        atomic.write_output(Path(f"/dev/fd/{stream.fileno()}"), "through")
        assert os.fstat(stream.fileno()).st_nlink == 1
    assert path.read_text() == "through"
    reading, writing = os.pipe()
    atomic.write_output(Path(f"/proc/self/fd/{writing}"), "piped")
    assert os.read(reading, 9) == b"piped"
    os.close(reading)
    os.close(writing)
    atomic.write_output(Path("/dev/null"), "nothing")
    assert [atomic.is_stream(Path(name)) for name in ("/dev/stdout", "/dev/null", str(link))] == [True, True, False]


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    """A second holder is told so, until the first lets go."""
    first = atomic.try_lock_folder(tmp_path)
    assert atomic.try_lock_folder(tmp_path) == -1
    os.close(first)
    second = atomic.try_lock_folder(tmp_path)
    assert second >= 0
    os.close(second)
    assert atomic.try_lock_folder(tmp_path / "gone") == -1


@pytest.mark.parametrize("count", [1, atomic.MANY + 1])
def test_flushing_a_tree(tmp_path: Path, count: int) -> None:
    """Few files and many are both made durable without an error."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("x")
    atomic.flush_tree(tmp_path, count)
