"""A bento as one file and back: a deterministic tar that is checked digest by digest before it enters a store."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dynamo_build import archive, disk, document
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import BentoTag
from dynamo_build.stages.verify import expected, verify
from dynamo_build.store import Store, content_version

SUFFIX = ".bento"


def export(bento: Bento, target: Path) -> Path:
    """Write a bento into a file, or into a folder under its tag; exporting twice gives the same bytes.

    Raises StoreError for a damaged bento, or when the file cannot be written.
    """
    folder, manifest = Path(bento.folder), bento.manifest
    _refuse(verify(folder, manifest), f"the bento `{bento.tag}`")
    path = target / f"{manifest.name}-{manifest.version}{SUFFIX}" if target.is_dir() else target
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk.reporting("write the archive"):
        try:
            with temporary.open("xb") as stream:
                archive.pack(folder, expected(folder, manifest), stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def take(path: Path, store: Store, limit: int = archive.LIMIT) -> Bento:
    """Check an archive and put its bento into the store. Raises StoreError; then nothing of it is left."""
    with store.staging() as staged:
        with disk.reporting(f"read `{path}`"):
            stream = path.open("rb")
        with stream, disk.reporting("write to the store"):
            archive.unpack(stream, staged, limit)
        manifest = document.load(staged)
        if document.dump(manifest) != (staged / document.NAME).read_bytes():
            raise StoreError(f"{document.NAME} of the archive is not in the form that we write")
        _refuse(verify(staged, manifest), f"the archive `{path.name}`")
        tag = _checked_tag(manifest.tag)
        if manifest.version != content_version(manifest) and _looks_derived(manifest.version):
            raise StoreError(f"the archive says that it is `{tag}`, and its content is not")
        if bento := store.reuse(manifest):
            return bento
        side = {"entry": manifest.graph.entry, "services": list(manifest.graph.names), "size": manifest.files_size}
        return store.put(staged, manifest, side)


def _checked_tag(tag: str) -> str:
    try:
        if BentoTag.parse(tag).version:
            return tag
    except UsageError:
        pass
    raise StoreError(f"the archive's tag {tag!r} is none")


def _looks_derived(version: str) -> bool:
    return (
        len(version) == 16
        and version[0] in "abcdefghijklmnop"
        and set(version[1:]) <= set("abcdefghijklmnopqrstuvwxyz234567")
    )


def _refuse(wrong: tuple[str, ...], what: str) -> None:
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise StoreError(f"{what} is damaged: {wrong[0]}{more}", ["Build it again, or take another copy."])
