"""Digests of files that did not change since they were last read: known by size, times, inode and device.

A change within the clock's grain of the reading could hide behind equal stamps, so a file that was touched less than
two seconds before it was read is not noted. Source: git's "racy" index entries.

The cache is one file per project: a line with the format, the ruling and a checksum; then a record of 72 bytes per
file (stamp and digest), then the paths, a line each.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from dynamo_build.errors import StoreError
from dynamo_build.system import atomic
from dynamo_build.system.digest import digest_bytes

_GRAIN = 2_000_000_000
_HEAD = "dynamo stamps 2"
_STAMP = struct.Struct("<qqqQQ")
_RECORD = _STAMP.size + 32
_ALL = (1 << 64) - 1


@dataclass(slots=True)
class Stamps:
    """The digests known of one project's files, kept in a file of the cache folder.

    `ruling` are the digests of the rules that every known file passed: those about secrets, and those about imports.
    """

    path: Path
    ruling: str = ""
    _places: dict[str, int] = field(default_factory=dict)
    _records: bytes = b""

    @classmethod
    def load_stamps(cls, cache: Path, project: str, *, forget: bool = False) -> Stamps:
        """What is known of a project; nothing when the file is not there or damaged, or when all is to be read anew."""
        name = digest_bytes(os.fsencode(os.path.realpath(project))).removeprefix("sha256:")[:32]
        stamps = cls(cache / "stamps" / name)
        if forget:
            return stamps
        try:
            head, _, body = stamps.path.read_bytes().partition(b"\n")
            form, ruling, count, checksum = head.decode().split("\t")
            size = int(count) * _RECORD
            if form == _HEAD and int(checksum) == zlib.crc32(body) and 0 <= size <= len(body):
                paths = body[size:].decode().split("\n")[:-1]
                stamps.ruling, stamps._records = ruling, body[:size]
                stamps._places = dict(zip(paths, range(0, size, _RECORD), strict=True))
        except (OSError, ValueError):
            return cls(stamps.path)
        return stamps

    def __len__(self) -> int:
        return len(self._places)

    def find_digest(self, path: str, status: os.stat_result) -> str:
        """The hexadecimal digest of a file that did not change, else ""."""
        place = self._places.get(path)
        if place is None or self._records[place : place + _STAMP.size] != pack_stamp(status):
            return ""
        return self._records[place + _STAMP.size : place + _RECORD].hex()

    def clear_records(self) -> None:
        """Give the memory back, once every file is to be read."""
        self._places, self._records = {}, b""

    def approve_rules(self, ruling: str) -> None:
        """Note that all known files passed these rules too."""
        if ruling != self.ruling and self._places:
            paths = "".join(f"{path}\n" for path in self._places)
            self.ruling = ruling
            _write_stamps(self.path, ruling, len(self._places), self._records + paths.encode())


@dataclass(slots=True)
class Reading:
    """Stamps of files that are being read; they take the place of the older ones when all was read."""

    stamps: Stamps
    ruling: str = ""
    began: int = field(default_factory=time.time_ns)
    _records: bytearray = field(default_factory=bytearray)
    _paths: list[str] = field(default_factory=list)

    def add_record(self, path: str, status: os.stat_result, digest: bytes) -> None:
        """A file's status before it was read, and the digest of what was read."""
        if max(status.st_mtime_ns, status.st_ctime_ns) + _GRAIN < self.began and (own := pack_stamp(status)):
            self._records += own
            self._records += digest
            self._paths.append(path)

    def save_records(self) -> None:
        """Keep what was noted. A cache that cannot be written is no error."""
        if self._paths:
            for path in self._paths:
                self._records += path.encode()
                self._records += b"\n"
            _write_stamps(self.stamps.path, self.ruling, len(self._paths), self._records)


def pack_stamp(status: os.stat_result) -> bytes:
    """What has to be equal for a file to count as unchanged; nothing where a time is beyond what can be kept."""
    try:
        return _STAMP.pack(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _ALL, status.st_dev & _ALL
        )
    except struct.error:
        return b""


def _write_stamps(path: Path, ruling: str, count: int, body: bytes | bytearray) -> None:
    head = f"{_HEAD}\t{ruling}\t{count}\t{zlib.crc32(body)}\n".encode()
    try:
        with atomic.wrap_os_error("write the cache"):
            atomic.write_cache_file(path, head, body)
    except StoreError:
        return
