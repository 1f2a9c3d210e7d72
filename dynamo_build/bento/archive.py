"""Content-addressed archives: file listings in the form of sha256sum, and deterministic tars.

Sources: POSIX pax (IEEE Std 1003.1 section "pax Interchange Format"); RFC 8878 (zstd); GNU coreutils sha256sum for the
list. The same files give the same bytes for one release of libzstd. Archives from outside are hostile: reading one
refuses path escapes, absolute names, links, devices, duplicates, totals over a limit, and what unfolds to more than a
file of its size ever would, before anything of it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dynamo_build.errors import StoreError
from dynamo_build.system.atomic import is_safe_path

STAMP = 315532800  # 1980-01-01, the first moment that zip files can tell
LIMIT = 1 << 40
#: What an archive may unfold to for each of its bytes, beyond the size that any may have.
RATIO, SMALL = 1000, 1 << 30
_CHUNK = 1 << 20
_BLOCK, _RECORD = 512, 10240
_NAME, _SIZE = 100, 0o77777777777
_ZSTD = b"\x28\xb5\x2f\xfd"
_WINDOW = 8 << 20
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n\\]+)")


def read_listing(content: bytes) -> dict[str, str]:
    """Path to hexadecimal digest, from sha256sum's form. Raises StoreError for anything else."""
    found: dict[str, str] = {}
    try:
        lines = content.decode().removesuffix("\n").split("\n") if content else []
    except UnicodeDecodeError as error:
        raise StoreError("files.sha256 is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or not is_safe_path(match[2]) or match[2] in found:
            raise StoreError(f"files.sha256 line {number} is not a digest and a path")
        found[match[2]] = match[1]
    return found


def pack(
    folder: Path,
    digests: Mapping[str, str],
    stream: IO[bytes],
    *,
    compressed: bool = True,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write files of a folder as a tar: sorted, with fixed stamps, owners and modes; compressed with zstd.

    `digests` are what each must have. Raises StoreError naming the first file that has another, OSError.
    """
    if not compressed:
        _pack(folder, digests, stream.write, progress)
        return
    import zstandard

    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    with compressor.stream_writer(stream, closefd=False) as writer:
        _pack(folder, digests, writer.write, progress)


def _pack(
    folder: Path, digests: Mapping[str, str], write: Callable[[Any], object], progress: Callable[[int], None] | None
) -> None:
    total = 0
    for name in sorted(digests):  # code points sort as their UTF-8 does
        digest = hashlib.sha256()
        with open(folder / name, "rb", buffering=0) as content:
            status = os.fstat(content.fileno())
            size = left = status.st_size
            header = _header(name, size, 0o755 if status.st_mode & 0o100 else 0o644)
            write(header)
            while left and (chunk := content.read(min(left, _CHUNK))):
                write(chunk)
                digest.update(chunk)
                left -= len(chunk)
            if left or content.read(1) or f"sha256:{digest.hexdigest()}" != digests[name]:
                raise StoreError(f"`{name}` was changed")
        write(bytes(-size % _BLOCK))
        total += len(header) + size + -size % _BLOCK
        if progress:
            progress(size)
    write(bytes(2 * _BLOCK + -(total + 2 * _BLOCK) % _RECORD))


def _header(name: str, size: int, mode: int) -> bytes:
    """The header of a plain file; what does not fit into ustar's fields goes into one of pax before it."""
    raw = name.encode()
    fits = name.isascii() and len(raw) <= _NAME and size <= _SIZE
    if fits:
        return _block(raw, size, mode, b"0")
    records = b"".join(_record(key, value) for key, value in ((b"path", raw), (b"size", str(size).encode())))
    more = _block(b"././@PaxHeader", len(records), 0o644, b"x") + records + bytes(-len(records) % _BLOCK)
    return more + _block(name.encode("ascii", "replace")[:_NAME], min(size, _SIZE), mode, b"0")


def _record(key: bytes, value: bytes) -> bytes:
    """A record of pax, which says its own length in decimal."""
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    total = length + len(str(total))
    return b"%d %s=%s\n" % (total, key, value)


def _block(name: bytes, size: int, mode: int, kind: bytes) -> bytes:
    head = name.ljust(_NAME, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, 0, 0, size, STAMP)
    tail = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\x000000000\0" + bytes(167)
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail


def unpack(
    stream: IO[bytes], folder: Path, limit: int = LIMIT, progress: Callable[[int], None] | None = None
) -> tuple[str, ...]:
    """Write the files of a tar, compressed or not, below an empty folder and give their names.

    Raises StoreError for an archive that is damaged or hostile, OSError when the disk does.
    """
    start = stream.read(len(_ZSTD))
    stream.seek(0)
    if start != _ZSTD:
        return _unpack(stream, folder, limit, progress)
    import zstandard

    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    limit = min(limit, max(SMALL, size * RATIO))
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(stream, closefd=False) as reader:
            return _unpack(reader, folder, limit, progress)
    except zstandard.ZstdError as error:
        raise StoreError(f"the archive is damaged: {str(error).lower()}") from error


def _unpack(stream: IO[bytes], folder: Path, limit: int, progress: Callable[[int], None] | None) -> tuple[str, ...]:
    names: dict[str, None] = {}
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="strict") as archive:
            for entry in _entries(archive):
                total += entry.size + _BLOCK
                if entry.name in names:
                    raise StoreError(f"the archive holds `{entry.name}` twice")
                if total > limit:
                    raise StoreError(f"the archive unfolds to more than {limit} bytes")
                names[entry.name] = None
                _write(archive, entry, folder)
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep every entry
                if progress:
                    progress(entry.size)
    except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
        raise StoreError(f"the archive is damaged: {str(error).lower() or type(error).__name__}") from error
    return tuple(names)


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for entry in archive:
        if not is_safe_path(entry.name):
            raise StoreError(f"the archive holds the unsafe name {entry.name!r}")
        if not entry.isreg() or entry.issparse():
            raise StoreError(f"the archive holds {entry.name!r}, which is not a plain file")
        yield entry


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    path = folder / entry.name
    content = archive.extractfile(entry)
    if content is None:
        raise StoreError(f"the archive holds no content for {entry.name!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if entry.mode & 0o100 else 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"the archive holds {entry.name!r} both as a file and as a folder") from error
    with open(descriptor, "wb") as target:
        left = entry.size
        while left:
            chunk = content.read(min(left, 1 << 20))
            if not chunk:
                raise StoreError(f"the archive ends inside {entry.name!r}")
            target.write(chunk)
            left -= len(chunk)
        os.fchmod(target.fileno(), 0o755 if entry.mode & 0o100 else 0o644)
