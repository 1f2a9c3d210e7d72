"""Files known by their stamps."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.bento.stat_cache import Reading, Stamps

DIGEST = bytes(range(32))


def noted(folder: Path, names: list[str], began: int) -> Stamps:
    """What is known after these files of a folder were read."""
    reading = Reading(Stamps.load_stamps(folder / "cache", str(folder)), "rules", began)
    for name in names:
        reading.add_record(name, (folder / name).stat(), DIGEST)
    reading.save_records()
    return Stamps.load_stamps(folder / "cache", str(folder))


def later(file: Path) -> int:
    return max(file.stat().st_mtime_ns, file.stat().st_ctime_ns) + 10**10


def test_unchanged_files_are_known_and_changed_ones_are_not(tmp_path: Path) -> None:
    """A digest is given back for the same size, times and inode alone."""
    file = tmp_path / "f\u2028g"
    file.write_text("x")
    status = file.stat()
    stamps = noted(tmp_path, [file.name], later(file))
    assert stamps.find_digest(file.name, file.stat()) == DIGEST.hex()
    assert (stamps.ruling, len(stamps)) == ("rules", 1)
    assert stamps.find_digest("other", file.stat()) == ""
    assert Stamps.load_stamps(tmp_path / "cache", str(tmp_path), forget=True).find_digest(file.name, file.stat()) == ""
    file.write_text("y")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert stamps.find_digest(file.name, file.stat()) == ""


def test_a_file_touched_just_now_is_not_noted(tmp_path: Path) -> None:
    """A change within the clock's grain could hide behind equal stamps."""
    (tmp_path / "f").write_text("x")
    assert len(noted(tmp_path, ["f"], (tmp_path / "f").stat().st_mtime_ns)) == 0


def test_rules_that_were_passed_are_noted(tmp_path: Path) -> None:
    """What is known stays known under them."""
    (tmp_path / "f").write_text("x")
    stamps = noted(tmp_path, ["f"], later(tmp_path / "f"))
    stamps.approve_rules("stricter rules")
    again = Stamps.load_stamps(tmp_path / "cache", str(tmp_path))
    assert again.ruling == "stricter rules"
    assert again.find_digest("f", (tmp_path / "f").stat()) == DIGEST.hex()


def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    """One flipped bit anywhere, or a missing end: nothing is known."""
    (tmp_path / "f").write_text("x")
    stamps = noted(tmp_path, ["f"], later(tmp_path / "f"))
    content = stamps.path.read_bytes()
    for place in range(len(content)):
        stamps.path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert Stamps.load_stamps(tmp_path / "cache", str(tmp_path)).find_digest("f", (tmp_path / "f").stat()) in (
            "",
            DIGEST.hex(),
        )
        stamps.path.write_bytes(content[:place])
        assert len(Stamps.load_stamps(tmp_path / "cache", str(tmp_path))) == 0


@given(noise=st.binary(max_size=200))
def test_noise_is_no_cache(tmp_path_factory: object, noise: bytes) -> None:
    """Whatever the file holds."""
    folder = tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    stamps = Stamps.load_stamps(folder / "noise", str(folder))
    stamps.path.parent.mkdir(parents=True, exist_ok=True)
    stamps.path.write_bytes(noise)
    assert len(Stamps.load_stamps(folder / "noise", str(folder))) == 0
