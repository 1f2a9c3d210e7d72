"""The folder of this user's running graphs, which nobody else can enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

CONTROL = ".control"
"""Ending of the name of a supervisor's control socket; before it stands the supervisor's process id."""


def locate_folder(environment: Mapping[str, str]) -> Path:
    """The user's runtime folder, or one in /tmp that only the user may enter."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "dynamo"
    return Path(f"/tmp/dynamo-{os.getuid()}")


def make_folder(environment: Mapping[str, str]) -> Path:
    """The folder, made when absent. Raises OSError, also when it is someone else's."""
    place = locate_folder(environment)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_ours(place):
        raise PermissionError(f"`{place}` is not a folder of ours alone")
    return place


def is_ours(place: Path) -> bool:
    """Whether the folder is ours alone. Raises OSError when there is none."""
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def list_files(environment: Mapping[str, str], ending: str) -> list[Path]:
    """The files of that ending in the folder, the newest first; none when it is not there or not ours alone."""
    place = locate_folder(environment)
    try:
        return sorted(place.glob(f"*{ending}"), key=_read_mtime, reverse=True) if is_ours(place) else []
    except OSError:
        return []


def _read_mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # its graph ended a moment ago
        return 0.0
