"""Folders for what is in between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from dynamo_build.system.scratch import create_scratch_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from dynamo_build.system.scratch import create_scratch_folder
with create_scratch_folder(Path(sys.argv[1]), "part-") as folder:
    (folder / "large").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def aged(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)


def test_it_goes_when_the_work_ends(tmp_path: Path) -> None:
    """Also when it fails; the folder around it is made."""
    parent = tmp_path / "deep/cache"
    try:
        with create_scratch_folder(parent, "part-") as folder:
            (folder / "file").touch()
            raise ValueError
    except ValueError:
        pass
    assert list(parent.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    """Not what a living one works in, nor what has another name."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    other = tmp_path / "blobs"
    other.mkdir()
    with create_scratch_folder(tmp_path, "part-") as living:
        assert left.exists()  # too young to be told from one that is about to be locked
        aged(tmp_path)
        with create_scratch_folder(tmp_path, "part-"):
            assert living.exists() and other.exists() and not left.exists()
