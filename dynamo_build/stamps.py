"""Digests of files that did not change since they were last read: known by size, times and inode.

A change within the clock's grain of the reading could hide behind equal stamps, so a file that was touched less than
two seconds before it was read is not noted. Source: git's "racy" index entries.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dynamo_build import archive, disk
from dynamo_build.errors import StoreError

_GRAIN = 2_000_000_000


def stamp(status: os.stat_result) -> str:
    """What has to be equal for a file to count as unchanged."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"


@dataclass(slots=True)
class Stamps:
    """The digests known of one project's files, kept in a file of the cache folder."""

    path: Path
    known: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, cache: Path, project: str) -> Stamps:
        """What is known of a project; nothing when the file is not there or damaged."""
        name = archive.digest(os.fsencode(os.path.realpath(project))).removeprefix("sha256:")[:32]
        stamps = cls(cache / "stamps" / name)
        try:
            lines = stamps.path.read_bytes().decode().split("\n")
        except (OSError, UnicodeDecodeError):
            return stamps
        for line in lines:
            path, tab, rest = line.rpartition("\t")
            hexadecimal, _, stamped = rest.partition(" ")
            if tab and len(hexadecimal) == 64:
                stamps.known[path] = (hexadecimal, stamped)
        return stamps

    def digest(self, path: str, status: os.stat_result) -> str:
        """The hexadecimal digest of a file that did not change, else ""."""
        hexadecimal, stamped = self.known.get(path, ("", ""))
        return hexadecimal if stamped == stamp(status) else ""

    def save(self, read: Mapping[str, tuple[str, os.stat_result]], began_ns: int | None = None) -> None:
        """Keep what was read: path → (digest, status before reading). A cache that cannot be written is no error."""
        began = time.time_ns() if began_ns is None else began_ns
        lines = [
            f"{path}\t{hexadecimal} {stamp(status)}\n"
            for path, (hexadecimal, status) in sorted(read.items())
            if max(status.st_mtime_ns, status.st_ctime_ns) + _GRAIN < began
        ]
        content = "".join(lines).encode()
        try:
            with disk.reporting("write the cache"):
                if lines and (not self.path.is_file() or self.path.read_bytes() != content):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    disk.write(self.path, content)
        except StoreError:
            return
