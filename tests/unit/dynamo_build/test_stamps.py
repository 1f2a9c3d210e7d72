"""Files known by their stamps."""

from __future__ import annotations

import os
from pathlib import Path

from dynamo_build.stamps import Stamps


def test_unchanged_files_are_known_and_changed_ones_are_not(tmp_path: Path) -> None:
    """A digest is given back for the same size, times and inode alone."""
    file = tmp_path / "f"
    file.write_text("x")
    status = file.stat()
    later = max(status.st_mtime_ns, status.st_ctime_ns) + 10**10
    Stamps.of(tmp_path / "cache", str(tmp_path)).save({"f\u2028g": ("0" * 64, status)}, later)
    assert Stamps.of(tmp_path / "cache", str(tmp_path)).digest("f\u2028g", file.stat()) == "0" * 64
    file.write_text("y")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Stamps.of(tmp_path / "cache", str(tmp_path)).digest("f\u2028g", file.stat()) == ""


def test_a_file_touched_just_now_is_not_noted(tmp_path: Path) -> None:
    """A change within the clock's grain could hide behind equal stamps."""
    file = tmp_path / "f"
    file.write_text("x")
    Stamps.of(tmp_path / "cache", str(tmp_path)).save({"f": ("0" * 64, file.stat())}, file.stat().st_mtime_ns)
    assert Stamps.of(tmp_path / "cache", str(tmp_path)).known == {}


def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    """Noise is read as nothing known."""
    stamps = Stamps.of(tmp_path / "cache", str(tmp_path))
    stamps.path.parent.mkdir(parents=True)
    for noise in (b"\xff\xfe", b"a\n\n\tb", b"x\t" + b"0" * 64):
        stamps.path.write_bytes(noise)
        assert Stamps.of(tmp_path / "cache", str(tmp_path)).digest("a", tmp_path.stat()) == ""
