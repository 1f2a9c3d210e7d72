"""The bento store: `bentos/<name>/<version>/`, written once and published by rename.

Beside the bentos: `tmp/` (staging folders, each locked while its process lives), `locks/`, and `projects/` (which
bento was built last from which folder). Each bento carries its own line of `list` in `build.json`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo_build.bento import bento_yaml, listing
from dynamo_build.bento.listing import SIDE, BentoSummary
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.reference import BentoTag
from dynamo_build.seams import Surroundings, default_home
from dynamo_build.system import atomic
from dynamo_build.system.digest import digest_bytes, digest_file

_BUILD_HINT = "See `dynamo list`, or build it with `dynamo build`."


@dataclass(frozen=True, slots=True)
class Store:
    """The store below a root such as `~/.dynamo`. Nothing is created before the first write."""

    root: Path

    @property
    def bentos(self) -> Path:
        return self.root / "bentos"

    @contextmanager
    def open_staging(self) -> Iterator[Path]:
        """An empty folder on the store's file system, removed afterwards. Raises StoreError."""
        with atomic.wrap_os_error("write to the store"):
            self._make_folder("tmp")
            with atomic.hold_lock(self.root / "tmp" / ".lock"):
                self._remove_stale()
                folder = self.root / "tmp" / os.urandom(8).hex()
                folder.mkdir(0o700)
                held = atomic.try_lock_folder(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)

    def put(self, staged: Path, manifest: BentoManifest, side: Mapping[str, Any], project: str = "") -> Bento:
        """Publish a staged bento. One of the same content that is there already is kept. Raises StoreError."""
        with atomic.wrap_os_error("write to the store"):
            written = (staged / bento_yaml.NAME).read_bytes()
            own = {
                "identity": compute_identity(manifest),
                "manifest": digest_bytes(written),
                "derived": dict(manifest.derived),
            }
            atomic.flush_tree(staged, manifest.files_count)
            with self._lock_name(manifest.name):
                if self._find_existing(manifest) is None:
                    self._publish_bento(staged, manifest, {**side, **own})
                self._record_build(manifest, project)
        return Bento(manifest=manifest, folder=str(self._bento_folder(manifest.name, manifest.version)))

    def reuse_bento(self, manifest: BentoManifest, project: str = "") -> Bento | None:
        """The bento of this content where it is in the store, noted as built again; None where not.

        Raises StoreError when another content was given this version by hand.
        """
        if self._find_existing(manifest) is None:
            return None
        with atomic.wrap_os_error("write to the store"):
            with self._lock_name(manifest.name):
                derived = self._find_existing(manifest)
                if derived is None:
                    return None
                self._record_build(manifest, project)
        folder = self._bento_folder(manifest.name, manifest.version)
        return Bento(manifest=replace(manifest, derived=derived), folder=str(folder))

    def _find_existing(self, manifest: BentoManifest) -> Mapping[str, str] | None:
        """The digests of what was derived for the bento of this content and tag; None when it is not there whole."""
        folder = self._bento_folder(manifest.name, manifest.version)
        try:
            side = json.loads((folder / SIDE).read_bytes())
            whole = (
                digest_file(folder / bento_yaml.NAME) == side["manifest"]
                and digest_file(folder / "files.sha256") == manifest.files_digest
            )
            same, derived = side["identity"] == compute_identity(manifest), dict(side["derived"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if same or manifest.version == compute_version(manifest):
            return derived if whole and same else None  # what was changed since is written anew
        raise StoreError(
            f"the store has another bento `{manifest.tag}`",
            ["Leave out `--version`, which gives each content a version of its own, or delete the other one."],
        )

    def get(self, tag: str | BentoTag) -> Bento:
        """A bento by its tag; without a version, the one built last. Raises StoreError or UsageError."""
        wanted = self.resolve_tag(tag)
        folder = self._bento_folder(wanted.name, wanted.version)
        manifest = bento_yaml.read_manifest(folder)
        if (manifest.name, manifest.version) != (wanted.name, wanted.version):
            raise StoreError(
                f"`{folder / bento_yaml.NAME}` says that it is of `{manifest.tag}`", ["Delete it and build it again."]
            )
        return Bento(manifest=manifest, folder=str(folder))

    def resolve_tag(self, tag: str | BentoTag) -> BentoTag:
        """The tag with its version, which must be there. Raises StoreError when it is not, UsageError for no tag."""
        wanted = BentoTag.parse(tag) if isinstance(tag, str) else tag
        version = wanted.version or self.find_latest(wanted.name)
        if not version or not self._bento_folder(wanted.name, version).is_dir():
            raise StoreError(f"there is no bento `{wanted}` in the store", [_BUILD_HINT])
        return BentoTag(wanted.name, version)

    def find_latest(self, name: str) -> str:
        """The version of a name that was built last; "" when there is none."""
        try:
            version = (self.bentos / name / "latest").read_text(encoding="utf-8").strip()
            if BentoTag.parse(f"{name}:{version}").version and self._bento_folder(name, version).is_dir():
                return version
        except (OSError, UnicodeDecodeError, UsageError):
            pass
        return self._find_newest(name)

    def list_bentos(self) -> tuple[BentoSummary, ...]:
        """All bentos, the newest first; a damaged one says so in `broken`. Raises StoreError."""
        return listing.list_summaries(self.root)

    def delete(self, tag: str | BentoTag) -> str:
        """Delete one version and give its tag. Raises StoreError when there is none."""
        wanted = self.resolve_tag(tag)
        folder = self._bento_folder(wanted.name, wanted.version)
        with self.open_staging() as grave, atomic.wrap_os_error("delete from the store"), self._lock_name(wanted.name):
            folder.rename(grave / wanted.version)
            newest = self._find_newest(wanted.name)
            if newest:
                atomic.replace_file(self.bentos / wanted.name / "latest", f"{newest}\n".encode())
            else:
                (self.bentos / wanted.name / "latest").unlink(missing_ok=True)
            atomic.flush_folder(self.bentos / wanted.name)
        return str(wanted)

    def last_built_from(self, project: str | Path) -> str:
        """The tag of the bento built last from a folder; "" when there is none any more."""
        try:
            noted = json.loads(self._project_path(str(project)).read_bytes())
            tag = BentoTag.parse(noted["tag"])
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return ""
        return str(tag) if self._bento_folder(tag.name, tag.version).is_dir() else ""

    def clean_store(self) -> int:
        """Remove what dead processes left behind and give the bytes that came free. Raises StoreError."""
        with atomic.wrap_os_error("clean the store"):
            self._make_folder("tmp")
            with atomic.hold_lock(self.root / "tmp" / ".lock"):
                return self._remove_stale()

    def _publish_bento(self, staged: Path, manifest: BentoManifest, side: Mapping[str, Any]) -> None:
        # The order holds for a machine that stops at any line. All files are on the disk before the rename
        # (`flush_tree`), the sidecar last, so a name never leads to missing contents. A damaged bento of the same
        # version moves to the staging area first, since a rename cannot replace a folder with files: for that moment
        # the version is missing, never mixed. `latest` and `projects/` are written after the rename, so they never name
        # a version that is not there yet. The flush of the parent makes the rename durable.
        created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        atomic.replace_file(staged / SIDE, json.dumps({**side, "created": created}, indent=1).encode())
        folder = self._bento_folder(manifest.name, manifest.version)
        if folder.is_dir():
            folder.rename(staged.with_name(f"{staged.name}.damaged"))
        staged.chmod(0o755)
        staged.rename(folder)
        atomic.flush_folder(folder.parent)

    def _record_build(self, manifest: BentoManifest, project: str) -> None:
        if self.find_latest(manifest.name) != manifest.version or not (self.bentos / manifest.name / "latest").exists():
            atomic.replace_file(self.bentos / manifest.name / "latest", f"{manifest.version}\n".encode())
        if project and self.last_built_from(project) != manifest.tag:
            self._make_folder("projects")
            noted = {"project": project, "tag": manifest.tag}
            with atomic.hold_lock(self.root / "locks" / ".projects"):
                atomic.remove_leftovers(self.root / "projects")
                atomic.replace_file(self._project_path(project), json.dumps(noted).encode())

    def _find_newest(self, name: str) -> str:
        try:
            versions = listing.list_folders(self.bentos / name)
            summaries = [listing.read_summary(self.bentos, name, version) for version in versions]
        except OSError:
            return ""
        whole = [summary for summary in summaries if not summary.broken]
        return max(whole, key=lambda item: (item.created, item.tag)).tag.partition(":")[2] if whole else ""

    @contextmanager
    def _lock_name(self, name: str) -> Iterator[None]:
        self._make_folder("locks")
        (self.bentos / name).mkdir(parents=True, exist_ok=True)
        with atomic.hold_lock(self.root / "locks" / name):
            atomic.remove_leftovers(self.bentos / name)
            yield

    def _remove_stale(self) -> int:
        freed = 0
        for name in ("stamps", "bases", "modules"):
            atomic.clean_cache_folder(self.root / "cache" / name)
        for name in os.listdir(self.root / "tmp"):
            folder = self.root / "tmp" / name
            if not folder.is_dir():
                continue
            held = atomic.try_lock_folder(folder)
            if held >= 0:
                freed += _measure_folder(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
        return freed

    def _make_folder(self, name: str) -> None:
        (self.root / name).mkdir(parents=True, exist_ok=True)

    def _bento_folder(self, name: str, version: str) -> Path:
        return self.bentos / name / version

    def _project_path(self, project: str) -> Path:
        real = os.path.realpath(project)
        return self.root / "projects" / f"{digest_bytes(os.fsencode(real)).removeprefix('sha256:')[:32]}.json"


def compute_identity(manifest: BentoManifest) -> str:
    """The digest of everything that decides a version, the order of the configuration's keys too."""
    config = {"ordered": codec.encode_ordered(manifest.config).decode()}
    deciding = codec.to_plain(replace(manifest, version="", derived={}, config=config))
    if not manifest.dockerfile_template:
        del deciding["dockerfile_template"]
    return digest_bytes(codec.encode_canonical(deciding))


def compute_version(manifest: BentoManifest) -> str:
    """The version that a manifest's content gives: 16 letters and digits, the first a letter, so never a number."""
    content = bytes.fromhex(compute_identity(manifest).removeprefix("sha256:"))
    return "abcdefghijklmnop"[content[0] >> 4] + base64.b32encode(content[1:11]).decode().lower()[:15]


def _measure_folder(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def open_store(surroundings: Surroundings | None = None) -> Store:
    """The store of bentos that the environment names."""
    return Store(default_home((surroundings or Surroundings()).environment))


def select_bento(tag: str, project: Path, surroundings: Surroundings | None = None, on: Listener = ignore) -> Bento:
    """The bento of a tag; without one, the bento built last from this folder, which is said. Raises StoreError."""
    bentos = open_store(surroundings)
    wanted = tag or bentos.last_built_from(project)
    if not wanted:
        raise StoreError(
            "no bento was built from this folder", ["Name one (see `dynamo list`), or build one with `dynamo build`."]
        )
    if not tag:
        on(Noted(text=f"using `{wanted}`, the bento built last from this folder"))
    return bentos.get(wanted)
