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
from dynamo_build.bento.listing import SIDE as SIDE
from dynamo_build.bento.listing import BentoSummary
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
    def staging(self) -> Iterator[Path]:
        """An empty folder on the store's file system, removed afterwards. Raises StoreError."""
        with atomic.reporting("write to the store"):
            self._make("tmp")
            with atomic.locked(self.root / "tmp" / ".lock"):
                self._sweep()
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
        with atomic.reporting("write to the store"):
            written = (staged / bento_yaml.NAME).read_bytes()
            own = {
                "identity": identity(manifest),
                "manifest": digest_bytes(written),
                "derived": dict(manifest.derived),
            }
            atomic.flush_tree(staged, manifest.files_count)
            with self._locked(manifest.name):
                if self._held(manifest) is None:
                    self._publish(staged, manifest, {**side, **own})
                self._note(manifest, project)
        return Bento(manifest=manifest, folder=str(self._folder(manifest.name, manifest.version)))

    def reuse(self, manifest: BentoManifest, project: str = "") -> Bento | None:
        """The bento of this content where it is in the store, noted as built again; None where not.

        Raises StoreError when another content was given this version by hand.
        """
        if self._held(manifest) is None:
            return None
        with atomic.reporting("write to the store"):
            with self._locked(manifest.name):
                derived = self._held(manifest)
                if derived is None:
                    return None
                self._note(manifest, project)
        folder = self._folder(manifest.name, manifest.version)
        return Bento(manifest=replace(manifest, derived=derived), folder=str(folder))

    def _held(self, manifest: BentoManifest) -> Mapping[str, str] | None:
        """The digests of what was derived for the bento of this content and tag; None when it is not there whole."""
        folder = self._folder(manifest.name, manifest.version)
        try:
            side = json.loads((folder / SIDE).read_bytes())
            whole = (
                digest_file(folder / bento_yaml.NAME) == side["manifest"]
                and digest_file(folder / "files.sha256") == manifest.files_digest
            )
            same, derived = side["identity"] == identity(manifest), dict(side["derived"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if same or manifest.version == content_version(manifest):
            return derived if whole and same else None  # what was changed since is written anew
        raise StoreError(
            f"the store has another bento `{manifest.tag}`",
            ["Leave out `--version`, which gives each content a version of its own, or delete the other one."],
        )

    def get(self, tag: str | BentoTag) -> Bento:
        """A bento by its tag; without a version, the one built last. Raises StoreError or UsageError."""
        wanted = self.find(tag)
        folder = self._folder(wanted.name, wanted.version)
        manifest = bento_yaml.load(folder)
        if (manifest.name, manifest.version) != (wanted.name, wanted.version):
            raise StoreError(
                f"`{folder / bento_yaml.NAME}` says that it is of `{manifest.tag}`", ["Delete it and build it again."]
            )
        return Bento(manifest=manifest, folder=str(folder))

    def find(self, tag: str | BentoTag) -> BentoTag:
        """The tag with its version, which must be there. Raises StoreError when it is not, UsageError for no tag."""
        wanted = BentoTag.parse(tag) if isinstance(tag, str) else tag
        version = wanted.version or self.latest(wanted.name)
        if not version or not self._folder(wanted.name, version).is_dir():
            raise StoreError(f"there is no bento `{wanted}` in the store", [_BUILD_HINT])
        return BentoTag(wanted.name, version)

    def latest(self, name: str) -> str:
        """The version of a name that was built last; "" when there is none."""
        try:
            version = (self.bentos / name / "latest").read_text(encoding="utf-8").strip()
            if BentoTag.parse(f"{name}:{version}").version and self._folder(name, version).is_dir():
                return version
        except (OSError, UnicodeDecodeError, UsageError):
            pass
        return self._newest(name)

    def list(self) -> tuple[BentoSummary, ...]:
        """All bentos, the newest first; a damaged one says so in `broken`. Raises StoreError."""
        return listing.summaries(self.root)

    def delete(self, tag: str | BentoTag) -> str:
        """Delete one version and give its tag. Raises StoreError when there is none."""
        wanted = self.find(tag)
        folder = self._folder(wanted.name, wanted.version)
        with self.staging() as grave, atomic.reporting("delete from the store"), self._locked(wanted.name):
            folder.rename(grave / wanted.version)
            newest = self._newest(wanted.name)
            if newest:
                atomic.write(self.bentos / wanted.name / "latest", f"{newest}\n".encode())
            else:
                (self.bentos / wanted.name / "latest").unlink(missing_ok=True)
            atomic.flush_folder(self.bentos / wanted.name)
        return str(wanted)

    def last_built_from(self, project: str | Path) -> str:
        """The tag of the bento built last from a folder; "" when there is none any more."""
        try:
            noted = json.loads(self._project(str(project)).read_bytes())
            tag = BentoTag.parse(noted["tag"])
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return ""
        return str(tag) if self._folder(tag.name, tag.version).is_dir() else ""

    def clean(self) -> int:
        """Remove what dead processes left behind and give the bytes that came free. Raises StoreError."""
        with atomic.reporting("clean the store"):
            self._make("tmp")
            with atomic.locked(self.root / "tmp" / ".lock"):
                return self._sweep()

    def _publish(self, staged: Path, manifest: BentoManifest, side: Mapping[str, Any]) -> None:
        # The order holds for a machine that stops at any line. All files are on the disk before the rename
        # (`flush_tree`), the sidecar last, so a name never leads to missing contents. A damaged bento of the same
        # version moves to the staging area first, since a rename cannot replace a folder with files: for that moment
        # the version is missing, never mixed. `latest` and `projects/` are written after the rename, so they never name
        # a version that is not there yet. The flush of the parent makes the rename durable.
        created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        atomic.write(staged / SIDE, json.dumps({**side, "created": created}, indent=1).encode())
        folder = self._folder(manifest.name, manifest.version)
        if folder.is_dir():
            folder.rename(staged.with_name(f"{staged.name}.damaged"))
        staged.chmod(0o755)
        staged.rename(folder)
        atomic.flush_folder(folder.parent)

    def _note(self, manifest: BentoManifest, project: str) -> None:
        if self.latest(manifest.name) != manifest.version or not (self.bentos / manifest.name / "latest").exists():
            atomic.write(self.bentos / manifest.name / "latest", f"{manifest.version}\n".encode())
        if project and self.last_built_from(project) != manifest.tag:
            self._make("projects")
            noted = {"project": project, "tag": manifest.tag}
            with atomic.locked(self.root / "locks" / ".projects"):
                atomic.forget(self.root / "projects")
                atomic.write(self._project(project), json.dumps(noted).encode())

    def _newest(self, name: str) -> str:
        try:
            versions = listing.folders(self.bentos / name)
            summaries = [listing.summary_of(self.bentos, name, version) for version in versions]
        except OSError:
            return ""
        whole = [summary for summary in summaries if not summary.broken]
        return max(whole, key=lambda item: (item.created, item.tag)).tag.partition(":")[2] if whole else ""

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._make("locks")
        (self.bentos / name).mkdir(parents=True, exist_ok=True)
        with atomic.locked(self.root / "locks" / name):
            atomic.forget(self.bentos / name)
            yield

    def _sweep(self) -> int:
        freed = 0
        for name in ("stamps", "bases", "modules"):
            atomic.tidy(self.root / "cache" / name)
        for name in os.listdir(self.root / "tmp"):
            folder = self.root / "tmp" / name
            if not folder.is_dir():
                continue
            held = atomic.try_lock_folder(folder)
            if held >= 0:
                freed += _size(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
        return freed

    def _make(self, name: str) -> None:
        (self.root / name).mkdir(parents=True, exist_ok=True)

    def _folder(self, name: str, version: str) -> Path:
        return self.bentos / name / version

    def _project(self, project: str) -> Path:
        real = os.path.realpath(project)
        return self.root / "projects" / f"{digest_bytes(os.fsencode(real)).removeprefix('sha256:')[:32]}.json"


def identity(manifest: BentoManifest) -> str:
    """The digest of everything that decides a version, the order of the configuration's keys too."""
    config = {"ordered": codec.ordered(manifest.config).decode()}
    deciding = codec.plain(replace(manifest, version="", derived={}, config=config))
    if not manifest.dockerfile_template:
        del deciding["dockerfile_template"]
    return digest_bytes(codec.canonical(deciding))


def content_version(manifest: BentoManifest) -> str:
    """The version that a manifest's content gives: 16 letters and digits, the first a letter, so never a number."""
    content = bytes.fromhex(identity(manifest).removeprefix("sha256:"))
    return "abcdefghijklmnop"[content[0] >> 4] + base64.b32encode(content[1:11]).decode().lower()[:15]


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def store(surroundings: Surroundings | None = None) -> Store:
    """The store of bentos that the environment names."""
    return Store(default_home((surroundings or Surroundings()).environment))


def chosen(tag: str, project: Path, surroundings: Surroundings | None = None, on: Listener = ignore) -> Bento:
    """The bento of a tag; without one, the bento built last from this folder, which is said. Raises StoreError."""
    bentos = store(surroundings)
    wanted = tag or bentos.last_built_from(project)
    if not wanted:
        raise StoreError(
            "no bento was built from this folder", ["Name one (see `dynamo list`), or build one with `dynamo build`."]
        )
    if not tag:
        on(Noted(text=f"using `{wanted}`, the bento built last from this folder"))
    return bentos.get(wanted)
