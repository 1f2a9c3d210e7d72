"""A cache of layers by their inputs; a process killed while writing leaves no partial layer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from dynamo.sdk import codec
from dynamo_build.errors import ImageBuildError
from dynamo_build.oci import layer as layers
from dynamo_build.oci.compression import DEFAULT, Compressor
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.oci.layout import replacing


class LayerCache:
    """`keys/<sha256 of the key>` says which blob in `blobs/` was made from it, and by which compressor."""

    def __init__(self, folder: Path, compressor: Compressor = DEFAULT) -> None:
        self.folder = folder
        self.compressor = compressor

    def find(self, key: str, name: str) -> Layer | None:
        """The layer that was made from this key, if it is still there."""
        try:
            kept = json.loads(self._key(key).read_bytes())
            digest, diff_id, size = str(kept["digest"]), str(kept["diff_id"]), int(kept["size"])
            path = self._blob(digest)
            if path.stat().st_size != size:
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._layer(digest, diff_id, size, name)

    def made(self, entries: Iterable[Entry], name: str) -> Layer:
        """The layer of these entries; compressed only when no layer of the same tar is kept."""
        listed = list(entries)
        diff_id = layers.diff_id_of(listed)
        return self.find(diff_id, name) or self.keep(diff_id, listed, name)

    def keep(self, key: str, entries: Iterable[Entry], name: str) -> Layer:
        """Make the layer and remember it under this key. Raises ImageBuildError when the cache cannot be written."""
        try:
            for part in ("blobs", "keys"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            digest, diff_id, size = self._write(entries)
            with replacing(self._key(key)) as out:
                out.write(codec.canonical({"digest": digest, "diff_id": diff_id, "size": size}))
        except OSError as error:
            raise ImageBuildError(f"the cache `{self.folder}` cannot be written: {error.strerror or error}") from error
        return self._layer(digest, diff_id, size, name)

    def _write(self, entries: Iterable[Entry]) -> tuple[str, str, int]:
        handle, written = tempfile.mkstemp(prefix=".new-", dir=self.folder / "blobs")
        try:
            with os.fdopen(handle, "wb") as out:
                digest, diff_id, size = layers.write(entries, out, self.compressor)
            Path(written).replace(self._blob(digest))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(written).unlink()
            raise
        return digest, diff_id, size

    def _layer(self, digest: str, diff_id: str, size: int, name: str) -> Layer:
        source = _opener(self._blob(digest), digest)
        kind = self.compressor.media_type
        return Layer(digest=digest, diff_id=diff_id, size=size, media_type=kind, name=name, source=source)

    def _key(self, key: str) -> Path:
        return self.folder / "keys" / hashlib.sha256(f"{self.compressor.identity}\n{key}".encode()).hexdigest()

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.removeprefix("sha256:").replace("/", "_")


def _opener(path: Path, digest: str) -> Callable[[], BinaryIO]:
    """Opens a kept blob. One that no longer is what it was is removed, so that the next run makes it anew."""

    def opened() -> BinaryIO:
        stream = path.open("rb")
        if f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}" != digest:
            stream.close()
            path.unlink()
            raise ImageBuildError(f"`{path}` was damaged, and is removed", ["Run the command again."])
        stream.seek(0)
        return stream

    return opened
