"""Scratch folders; those that a killed process left behind are removed by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dynamo_build.system import signals
from dynamo_build.system.atomic import try_lock_folder

#: A younger folder may be one whose owner has not locked it yet.
_SECONDS = 60


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder below `parent`, by its absolute path: what is started there may be in another folder."""
    parent = parent.absolute()
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent, prefix)
    made = None
    try:
        with signals.undivided():
            made = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
        with _held(Path(made.name)):
            yield Path(made.name)
    finally:
        if made is not None:
            with signals.undivided():
                made.cleanup()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether the folder could be locked. A file system without locks has none that is held, nor one that is free."""
    try:
        lock = try_lock_folder(folder)
    except OSError:
        lock = -1
    try:
        yield lock >= 0
    finally:
        if lock >= 0:
            os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders that nobody holds."""
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _SECONDS:
                with _held(left) as free:
                    if free:
                        shutil.rmtree(left, ignore_errors=True)
