"""A bento as one file and back: a deterministic tar that is checked digest by digest before it enters a store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dynamo_build.bento import archive, bento_yaml
from dynamo_build.bento.store import Store, content_version
from dynamo_build.bento.verify import expected, shape, verify
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.events import Listener, Progress, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import BentoTag
from dynamo_build.system import atomic

SUFFIX = ".bento"


def export(bento: Bento, target: Path, on: Listener = ignore, *, compressed: bool = True) -> Path:
    """Write a bento into a file, or into a folder under its tag; exporting twice gives the same bytes.

    Raises StoreError for a damaged bento, or when the file cannot be written.
    """
    folder, manifest = Path(bento.folder), bento.manifest
    what = f"the bento `{bento.tag}`"
    _refuse(shape(folder, manifest), what)
    digests = expected(folder, manifest)
    path = target / f"{manifest.name}-{manifest.version}{SUFFIX}" if target.is_dir() else target
    if atomic.is_stream(path):
        raise StoreError(f"`{path}` is not a file", ["Export into a file, and copy that."])
    place = path.resolve()
    temporary = place.with_name(f".{place.name}.{os.urandom(4).hex()}")
    told = _Told(what="exporting", total=manifest.files_size, on=on)
    with atomic.reporting("write the archive"):
        try:
            for folded in (True, False) if compressed else (False,):
                with temporary.open("wb") as stream:
                    archive.pack(folder, digests, stream, compressed=folded, progress=told.add)
                    written = stream.tell()
                    if folded and manifest.files_size > max(archive.SMALL, written * archive.RATIO) // 2:
                        continue  # compressed further than any honest file is
                    stream.flush()
                    os.fsync(stream.fileno())
                break
            temporary.replace(place)
        except StoreError as error:
            _refuse((error.message,), what)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def take(path: Path, store: Store, limit: int = archive.LIMIT, on: Listener = ignore) -> Bento:
    """Check an archive and put its bento into the store. Raises StoreError; then nothing of it is left."""
    with store.staging() as staged:
        with atomic.reporting(f"read `{path}`"):
            stream = path.open("rb")
        with stream, atomic.reporting("write to the store"):
            told = _Told(what="importing", total=0, on=on)
            archive.unpack(stream, staged, limit, told.add)
        manifest = bento_yaml.load(staged)
        if bento_yaml.dump(manifest) != (staged / bento_yaml.NAME).read_bytes():
            raise StoreError(f"{bento_yaml.NAME} of the archive is not in the form that we write")
        _refuse(verify(staged, manifest), f"the archive `{path.name}`")
        tag = _checked_tag(manifest.tag)
        if manifest.version != content_version(manifest) and _looks_derived(manifest.version):
            raise StoreError(f"the archive says that it is `{tag}`, and its content is not")
        if bento := store.reuse(manifest):
            return bento
        side = {"entry": manifest.graph.entry, "services": list(manifest.graph.names), "size": manifest.files_size}
        return store.put(staged, manifest, side)


@dataclass(slots=True, kw_only=True)
class _Told:
    """Bytes that were moved, told with each file."""

    what: str
    total: int
    on: Listener
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.on(Progress(what=self.what, done=self.done, total=max(self.total, self.done) if self.total else 0))


def _checked_tag(tag: str) -> str:
    try:
        if BentoTag.parse(tag).version:
            return tag
    except UsageError:
        pass
    raise StoreError(f"invalid tag {tag!r} in the archive")


def _looks_derived(version: str) -> bool:
    return (
        len(version) == 16
        and version[0] in "abcdefghijklmnop"
        and set(version[1:]) <= set("abcdefghijklmnopqrstuvwxyz234567")
    )


def _refuse(wrong: tuple[str, ...], what: str) -> None:
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise StoreError(f"{what} is damaged: {wrong[0]}{more}", ["Delete it, and build or import it again."])
