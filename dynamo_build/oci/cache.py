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
from dynamo_build.oci.layout import open_replacement


class LayerCache:
    """`keys/<sha256 of the key>` says which blob in `blobs/` was made from it, and by which compressor."""

    def __init__(self, folder: Path, compressor: Compressor = DEFAULT) -> None:
        self.folder = folder
        self.compressor = compressor

    def find_layer(self, key: str, name: str) -> Layer | None:
        """The layer that was made from this key, if it is still there."""
        try:
            kept = json.loads(self._key_path(key).read_bytes())
            digest, diff_id, size = str(kept["digest"]), str(kept["diff_id"]), int(kept["size"])
            path = self._blob_path(digest)
            if path.stat().st_size != size:
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._build_layer(digest, diff_id, size, name)

    def find_or_make(self, entries: Iterable[Entry], name: str) -> Layer:
        """The layer of these entries; compressed only when no layer of the same tar is kept."""
        listed = list(entries)
        diff_id = layers.compute_diff_id(listed)
        return self.find_layer(diff_id, name) or self.make_layer(diff_id, listed, name)

    def make_layer(self, key: str, entries: Iterable[Entry], name: str) -> Layer:
        """Make the layer and remember it under this key. Raises ImageBuildError when the cache cannot be written."""
        try:
            for part in ("blobs", "keys"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            digest, diff_id, size = self._write_blob(entries)
            with open_replacement(self._key_path(key)) as out:
                out.write(codec.encode_canonical({"digest": digest, "diff_id": diff_id, "size": size}))
        except OSError as error:
            raise ImageBuildError(f"the cache `{self.folder}` cannot be written: {error.strerror or error}") from error
        return self._build_layer(digest, diff_id, size, name)

    def _write_blob(self, entries: Iterable[Entry]) -> tuple[str, str, int]:
        handle, written = tempfile.mkstemp(prefix=".new-", dir=self.folder / "blobs")
        try:
            with os.fdopen(handle, "wb") as out:
                digest, diff_id, size = layers.write_layer(entries, out, self.compressor)
            Path(written).replace(self._blob_path(digest))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(written).unlink()
            raise
        return digest, diff_id, size

    def _build_layer(self, digest: str, diff_id: str, size: int, name: str) -> Layer:
        source = _create_opener(self._blob_path(digest), digest)
        kind = self.compressor.media_type
        return Layer(digest=digest, diff_id=diff_id, size=size, media_type=kind, name=name, source=source)

    def _key_path(self, key: str) -> Path:
        return self.folder / "keys" / hashlib.sha256(f"{self.compressor.identity}\n{key}".encode()).hexdigest()

    def _blob_path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.removeprefix("sha256:").replace("/", "_")


def _create_opener(path: Path, digest: str) -> Callable[[], BinaryIO]:
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
