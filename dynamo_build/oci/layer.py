"""A layer: a deterministic tar of entries, compressed, known by the digests of both forms.

Source: OCI image spec, "Image Layer Filesystem Changeset" and "DiffID". Same entries give the same bytes on any
machine: sorted names with their parent folders, one stamp, owner 0:0, modes 0644 or 0755, GNU tar, gzip without name
or time.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from dynamo_build.errors import ImageBuildError, RegistryError
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.compression import BLOCK, DEFAULT, GZIP, Compressor

#: 1980-01-01: the first moment a zip file can hold, and what programs that refuse 0 accept.
STAMP = 315532800
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something in a layer. `content` is bytes, a file to read, or None for a folder; `link` makes it a link."""

    path: str
    content: bytes | Path | None = None
    executable: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A compressed layer. `source` opens its blob; `origin` is a repository that holds it, where one is known."""

    digest: str
    diff_id: str
    size: int
    media_type: str = GZIP
    name: str = ""
    origin: ImageReference | None = None
    source: Callable[[], Readable] = field(repr=False, compare=False)

    def open(self) -> Readable:
        """The blob, checked against its digest and size while it is read. Raises RegistryError at its end."""
        return Verified(self.source(), self.digest, self.size)


class Readable(Protocol):
    """What a blob is read from."""

    def read(self, amount: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class Verified:
    """A stream that refuses to end, or to go on, with other bytes than its digest promises."""

    def __init__(self, stream: Readable, digest: str, size: int) -> None:
        self._stream = stream
        self._digest = digest
        self._size = size
        self._hash = hashlib.sha256()
        self._seen = 0

    def read(self, amount: int = -1, /) -> bytes:
        """Up to `amount` bytes. Raises RegistryError when the content is not the digest's."""
        data = self._stream.read(amount)
        self._seen += len(data)
        self._hash.update(data)
        if self._seen > self._size:
            raise RegistryError(f"blob {self._digest} is longer than its {self._size} bytes")
        ended = amount < 0 or (not data and amount > 0)
        if ended and (self._seen != self._size or f"sha256:{self._hash.hexdigest()}" != self._digest):
            raise RegistryError(
                f"blob {self._digest} has other content than its digest says ({self._seen} of {self._size} bytes)",
                ["Remove the damaged copy and run the command again."],
            )
        return data

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Verified:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build_tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The tar of these entries and their parent folders. Raises ImageBuildError for an unsafe name."""
    for entry in _add_parents(entries):
        yield from _build_member(entry)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def compute_diff_id(entries: Iterable[Entry]) -> str:
    """The digest of the tar, without making the layer."""
    digest = hashlib.sha256()
    for piece in build_tar(entries):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def write_layer(entries: Iterable[Entry], file: BinaryIO, compressor: Compressor = DEFAULT) -> tuple[str, str, int]:
    """Write the compressed layer in one pass and give its digest, diff id and size; memory stays bounded."""
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    pack = compressor.start()

    def out(data: bytes) -> int:
        packed.update(data)
        return file.write(data)

    for block in split_blocks(build_tar(entries)):
        plain.update(block)
        size += out(pack.compress(block))
    size += out(pack.flush())
    return f"sha256:{packed.hexdigest()}", f"sha256:{plain.hexdigest()}", size


def split_blocks(pieces: Iterable[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """The same bytes in blocks of exactly this size: what some compressors make depends on how they are fed."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= size:
            with memoryview(waiting) as view:
                block = bytes(view[:size])
            yield block
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _add_parents(entries: Iterable[Entry]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        path = _check_path(entry.path)
        if path in found and found[path] != entry and found[path].content is not None:
            raise ImageBuildError(f"two files would be `/{path}` in one layer")
        found[path] = entry
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found[parent] = Entry(path=parent)
            parent = parent.rpartition("/")[0]
    return [found[path] for path in sorted(found)]


def _check_path(path: str) -> str:
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ImageBuildError(f"{path!r} cannot be the name of a file in an image")
    return path


def _build_member(entry: Entry) -> Iterator[bytes]:
    size = 0
    if entry.link:
        yield _build_header(entry.path, 0o777, 0, tarfile.SYMTYPE, entry.link)
    elif entry.content is None:
        yield _build_header(entry.path, 0o755, 0, tarfile.DIRTYPE)
    else:
        mode = 0o755 if entry.executable else 0o644
        size = len(entry.content) if isinstance(entry.content, bytes) else entry.content.stat().st_size
        yield _build_header(entry.path, mode, size, tarfile.REGTYPE)
        if isinstance(entry.content, bytes):
            yield entry.content
        else:
            yield from _read_content(entry.content, size)
    if size % tarfile.BLOCKSIZE:
        yield b"\0" * (tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)


def _build_header(path: str, mode: int, size: int, kind: bytes, link: str = "") -> bytes:
    """The header of a member. Nearly all are one block that differs in five fields, which is written here."""
    name, to = path.encode("utf-8", "surrogateescape"), link.encode("utf-8", "surrogateescape")
    if kind == tarfile.DIRTYPE:
        name += b"/"
    if len(name) > 100 or len(to) > 100 or size >= 8**11:
        header = tarfile.TarInfo(path)
        header.mtime, header.mode, header.size, header.type, header.linkname = STAMP, mode, size, kind, link
        return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    block = bytearray(_TEMPLATE)
    block[0 : len(name)] = name
    block[100:107] = b"%07o" % mode
    block[124:135] = b"%011o" % size
    block[156:157] = kind
    block[157 : 157 + len(to)] = to
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


def _build_template() -> bytes:
    header = tarfile.TarInfo("")
    header.mtime = STAMP
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[148:156] = b" " * 8
    return bytes(block)


_TEMPLATE = _build_template()


def _read_content(path: Path, size: int) -> Iterator[bytes]:
    rest = size
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            rest -= len(piece)
            yield piece
    if rest:
        raise ImageBuildError(f"`{path}` changed while it was read", ["Run the command again."])
