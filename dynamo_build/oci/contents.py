"""Contents of a layer, read once as a stream and treated as hostile."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from dynamo_build.errors import RegistryError
from dynamo_build.oci.compression import inflater
from dynamo_build.oci.layer import CHUNK, Layer, Readable

#: The most that is kept of one file.
LARGEST = 16 << 20


class Unpacked(io.RawIOBase):
    """The tar inside a layer's blob, hashed while it is read. Raises ToolMissing for a compression that is not here."""

    def __init__(self, stream: Readable, media_type: str) -> None:
        self._stream = stream
        self._inflate: Any = inflater(media_type)
        self._rest = b""
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and self._inflate is not None:
            data = self._stream.read(CHUNK)
            if data:
                self._rest = self._inflate.decompress(data)
            else:
                self._rest, self._inflate = self._inflate.flush(), None
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        self.hash.update(taken)
        return len(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A file, folder or link in a layer. `content` is there where it was asked for, `digest` where that was."""

    path: str
    size: int = 0
    kind: str = "file"
    executable: bool = False
    content: bytes = b""
    digest: str = ""


def held(layer: Layer, wanted: Callable[[str], bool] = lambda _: False, *, digests: bool = False) -> Iterator[Held]:
    """What the layer holds, in its order. Raises RegistryError for a damaged one, ToolMissing for its compression."""
    with contextlib.closing(layer.open()) as stream:
        plain = Unpacked(stream, layer.media_type)
        try:
            with tarfile.open(fileobj=cast(Any, plain), mode="r|") as archive:
                for member in archive:
                    yield _held(archive, member, wanted, digests=digests)
            while plain.read(CHUNK):  # its end tells whether it is the blob that its digest names
                pass
        except (tarfile.TarError, zlib.error, EOFError) as error:
            raise RegistryError(f"layer {layer.digest} cannot be read: {error}") from error


def _held(archive: tarfile.TarFile, member: tarfile.TarInfo, wanted: Callable[[str], bool], *, digests: bool) -> Held:
    path = member.name.removeprefix("./").strip("/")
    if not member.isfile():
        kind = (
            "folder"
            if member.isdir()
            else f"link to {member.linkname}"
            if member.issym() or member.islnk()
            else "other"
        )
        return Held(path=path, kind=kind)
    content, digest = b"", ""
    opened = archive.extractfile(member) if digests or wanted(path) else None
    if opened is not None:
        if wanted(path):
            content = opened.read(LARGEST)
            digest = hashlib.sha256(content).hexdigest() if digests and member.size <= LARGEST else ""
        elif digests:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]
    return Held(path=path, size=member.size, executable=bool(member.mode & 0o111), content=content, digest=digest)
