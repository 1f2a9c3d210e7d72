"""Verification of a bento against the digests of its build: no file changed, missing or added."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from dynamo.sdk import codec
from dynamo_build.bento import archive, bento_yaml
from dynamo_build.bento.listing import SIDE
from dynamo_build.bento.stat_cache import Reading, Stamps
from dynamo_build.bento.store import compute_identity
from dynamo_build.errors import StoreError
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.plan import WHEELS
from dynamo_build.packages import lockfile
from dynamo_build.system.atomic import is_safe_path
from dynamo_build.system.digest import digest_bytes, digest_file


def verify(folder: Path, manifest: BentoManifest) -> tuple[str, ...]:
    """What is wrong with a bento's folder, one line a file; empty when nothing is. Raises StoreError for the disk."""
    return tuple(_find_damage(folder, manifest))


def verify_structure(folder: Path, manifest: BentoManifest) -> tuple[str, ...]:
    """As `verify`, without reading the files that the manifest's digests cover: what is missing, added or another."""
    return tuple(_find_damage(folder, manifest, read=False))


def check_digests(bento: Bento, cache: Path) -> None:
    """See that every file of a bento has its digest; one whose stamp is that of the last check is not read again.

    What lies beside them is not looked at. Raises StoreError naming the files that were changed.
    """
    folder, wrong = Path(bento.folder), []
    stamps = Stamps.load_stamps(cache, bento.folder)
    reading = Reading(stamps)
    read = 0
    for name, digest in list_expected_digests(folder, bento.manifest).items():
        try:
            status = os.lstat(f"{folder}/{name}")
            known = f"sha256:{stamps.find_digest(name, status)}"
            if known != digest:
                read += 1
                known = digest_file(f"{folder}/{name}") if stat.S_ISREG(status.st_mode) else ""
        except OSError as error:
            wrong.append(f"`{name}` cannot be read ({(error.strerror or str(error)).lower()})")
            continue
        if known != digest:
            wrong.append(f"`{name}` was changed")
        else:
            reading.add_record(name, status, bytes.fromhex(digest.removeprefix("sha256:")))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise StoreError(f"the bento `{bento.tag}` is damaged: {', '.join(wrong[:3])}{more}", ["Build it again."])
    if read:
        reading.save_records()


def list_expected_digests(folder: Path, manifest: BentoManifest) -> Mapping[str, str]:
    """Every file of a bento but its sidecar, with its digest ("" for the manifest). Raises StoreError."""
    try:
        listing = (folder / "files.sha256").read_bytes()
    except OSError as error:
        raise StoreError(f"files.sha256 cannot be read: {(error.strerror or str(error)).lower()}") from error
    if digest_bytes(listing) != manifest.files_digest:
        raise StoreError("files.sha256 was changed")
    wanted = {name: f"sha256:{hexadecimal}" for name, hexadecimal in archive.read_listing(listing).items()}
    if not all(name.startswith("src/") for name in wanted):
        raise StoreError("files.sha256 names a file outside src/")
    fixed = {
        "config/graph.json": codec.encode_canonical(manifest.graph),
        "config/config.json": codec.encode_ordered(manifest.config),
    }
    for platform, packages in manifest.lock.packages.items():
        name = f"env/python/requirements-{platform.replace('/', '-')}.txt"
        fixed[name] = lockfile.format_requirements(packages).encode()
        wanted.update({f"{WHEELS}/{each.wheel}": each.hashes[0] for each in packages if each.wheel and each.hashes})
    wanted.update({name: digest_bytes(content) for name, content in fixed.items()})
    wanted.update(manifest.derived)
    wanted[f"runtime/{manifest.runtime}"] = manifest.runtime_digest
    wanted["files.sha256"] = manifest.files_digest
    wanted[bento_yaml.NAME] = digest_bytes(bento_yaml.format_manifest(manifest))
    unsafe = [name for name in wanted if not is_safe_path(name)]
    if unsafe:
        raise StoreError(f"the manifest names the unsafe path {unsafe[0]!r}")
    return wanted


def _find_damage(folder: Path, manifest: BentoManifest, *, read: bool = True) -> Iterator[str]:
    changed = _is_manifest_changed(folder, manifest)
    if changed:
        yield f"`{bento_yaml.NAME}` was changed"
    try:
        wanted = list_expected_digests(folder, manifest)
    except StoreError as error:
        yield error.message
        return
    executables, top = frozenset(manifest.executables), f"{folder}/"
    for name in sorted(wanted):
        try:
            if changed and name == bento_yaml.NAME:
                continue
            status = os.lstat(top + name)
            if not stat.S_ISREG(status.st_mode) or (read and digest_file(top + name) != wanted[name]):
                yield f"`{name}` was changed"
            elif name.startswith("src/") and bool(status.st_mode & 0o100) != (name[4:] in executables):
                yield f"`{name}` has another executable bit"
        except FileNotFoundError:
            yield f"`{name}` is missing"
        except OSError as error:
            yield f"`{name}` cannot be read: {(error.strerror or str(error)).lower()}"
    for parent, folders, names in os.walk(folder):
        below = f"{parent}/"[len(top) :]
        links = [name for name in folders if os.path.islink(f"{parent}/{name}")]
        for found in sorted(below + name for name in [*names, *links]):
            if found not in wanted and found != SIDE:
                yield f"`{found}` does not belong to it"


def _is_manifest_changed(folder: Path, manifest: BentoManifest) -> bool:
    """Whether bento.yaml is another one than was noted when it was built, be it rewritten consistently."""
    try:
        side = json.loads((folder / SIDE).read_bytes())
        noted, written = str(side.get("identity", "")), str(side.get("manifest", ""))
        return (noted not in ("", compute_identity(manifest))) or (
            written not in ("", digest_file(folder / bento_yaml.NAME))
        )
    except (OSError, ValueError, AttributeError):
        return False
