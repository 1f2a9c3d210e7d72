"""Packing of a plan and its lock into a bento: files are copied and digested in one pass, and published at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynamo.sdk import codec, compatible
from dynamo.sdk.config import apply_config
from dynamo_build.bento import bento_yaml, sbom
from dynamo_build.bento.stat_cache import Reading, Stamps
from dynamo_build.bento.store import Store, compute_version
from dynamo_build.errors import GraphError
from dynamo_build.events import Finished, Listener, Progress, Started, ignore
from dynamo_build.graph import apis
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.plan import WHEELS, BuildPlan, Lock, PlannedFile
from dynamo_build.packages import lockfile, runtime_wheel
from dynamo_build.system import atomic
from dynamo_build.system.copy_file import copy_file
from dynamo_build.system.digest import digest_bytes, format_digests

_CHUNK = 1 << 20
_LISTING = "files.sha256"


def pack(
    plan: BuildPlan,
    lock: Lock,
    store: Store,
    on: Listener = ignore,
    *,
    dockerfile: Callable[[Bento], str] | None = None,
    stamps: Stamps | None = None,
    wheels: Mapping[str, Path] | None = None,
) -> Bento:
    """Put the bento of a plan into the store; one that is there already is kept and costs no copy.

    `wheels` are the files of locked packages that no index has, by their names. `dockerfile` gives the text for
    env/docker once the rest is in place; what is read is noted in `stamps`. Raises StoreError, GraphError for a file
    that cannot be read any more.
    """
    wheel = runtime_wheel.build_runtime_wheel(compatible.find_layers(plan.graph.services))
    if all(file.digest for file in plan.files):
        if stamps is not None:
            stamps.approve_rules(plan.ruling)
        manifest = _build_manifest(plan, lock, wheel, _digest_listing(plan))
        if bento := store.reuse_bento(manifest, plan.project):
            return bento
    if stamps is not None:
        stamps.clear_records()
    on(Started(what="packing"))
    with store.open_staging() as staged, atomic.wrap_os_error("write the bento"):
        reading = Reading(stamps, plan.ruling) if stamps is not None else None
        manifest = _build_manifest(plan, lock, wheel, _copy_files(plan, staged, reading, on))
        if reading:
            reading.save_records()
        if bento := store.reuse_bento(manifest, plan.project):
            return bento
        for name, path in (wheels or {}).items():
            _write_file(staged / WHEELS / name, path.read_bytes())
        manifest = _write_derived_files(staged, manifest, wheel, dockerfile)
        bento = store.put(staged, manifest, _build_sidecar(plan), plan.project)
    on(Finished(what="packed", detail=f"{manifest.files_count} file{'s' * (manifest.files_count != 1)}"))
    return bento


def _digest_listing(plan: BuildPlan) -> str:
    """The digest of the list that a plan's files would have, when all of theirs are known."""
    digest = hashlib.sha256()
    for first in range(0, len(plan.files), _CHUNK >> 8):
        digest.update(format_digests((f"src/{f.path}", f.digest) for f in plan.files[first : first + (_CHUNK >> 8)]))
    return f"sha256:{digest.hexdigest()}"


def _copy_files(plan: BuildPlan, staged: Path, reading: Reading | None, on: Listener) -> str:
    """Copy the files and list the digests of what was written; gives that of the list.

    Raises GraphError for a file that cannot be read.
    """
    made: set[str] = set()
    target = os.path.join(staged, "src")
    os.mkdir(target)
    moved = _Moved(total=plan.size, on=on)
    listed = hashlib.sha256()
    with open(os.path.join(staged, _LISTING), "xb") as stream:
        os.fchmod(stream.fileno(), 0o644)
        for file in plan.files:
            parent = os.path.dirname(file.path)
            if parent not in made:
                os.makedirs(os.path.join(target, parent), exist_ok=True)
                made.add(parent)
            digest, status = _copy_one(plan.project, file, target, moved)
            if reading:
                reading.add_record(file.path, status, digest)
            line = format_digests([(f"src/{file.path}", digest.hex())])
            stream.write(line)
            listed.update(line)
    moved.report_progress()
    return f"sha256:{listed.hexdigest()}"


def _copy_one(project: str, file: PlannedFile, target: str, moved: _Moved) -> tuple[bytes, os.stat_result]:
    try:
        source = open(os.path.join(project, file.path), "rb", buffering=0)  # noqa: SIM115  (closed below)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GraphError(
            f"`{file.path}` cannot be read any more: {reason}", ["Build again once it is there."]
        ) from error
    with source:
        status = os.fstat(source.fileno())
        mode = 0o755 if file.executable else 0o644
        return copy_file(source, status.st_size, os.path.join(target, file.path), mode, moved.add_bytes), status


@dataclass(slots=True, kw_only=True)
class _Moved:
    """Bytes that were copied, told now and then."""

    total: int
    on: Listener
    done: int = 0
    told: int = 0

    def add_bytes(self, count: int) -> None:
        self.done += count
        if self.done - self.told >= _CHUNK:
            self.report_progress()

    def report_progress(self) -> None:
        self.told = self.done
        self.on(Progress(what="packing", done=self.done, total=max(self.total, self.done)))


def _build_manifest(plan: BuildPlan, lock: Lock, wheel: runtime_wheel.Wheel, listing: str) -> BentoManifest:
    manifest = BentoManifest(
        name=plan.name,
        version="",
        graph=apply_config(plan.graph, plan.config),
        python=lock.python,
        platforms=tuple(sorted(lock.packages)),
        files_digest=listing,
        files_count=len(plan.files),
        files_size=plan.size,
        executables=tuple(file.path for file in plan.files if file.executable),
        config=plan.config,
        lock=replace(lock, written=""),
        runtime=wheel.name,
        runtime_digest=digest_bytes(wheel.content),
        base=plan.base,
        system_packages=plan.system_packages,
        setup_commands=plan.setup_commands,
        dockerfile_template=plan.dockerfile_template,
        labels=plan.labels,
    )
    return replace(manifest, version=plan.version or compute_version(manifest))


def _write_derived_files(
    staged: Path,
    manifest: BentoManifest,
    wheel: runtime_wheel.Wheel,
    dockerfile: Callable[[Bento], str] | None,
) -> BentoManifest:
    """Write everything but the project's files; gives the manifest with the digests of what was derived."""
    written = {
        "config/graph.json": codec.encode_canonical(manifest.graph),
        "config/config.json": codec.encode_ordered(manifest.config),
        f"runtime/{wheel.name}": wheel.content,
    }
    for platform, packages in manifest.lock.packages.items():
        name = f"env/python/requirements-{platform.replace('/', '-')}.txt"
        written[name] = lockfile.format_requirements(packages).encode()
    derived = {
        "apis/schema.json": codec.encode_pretty(apis.describe_endpoints(manifest.graph)).encode() + b"\n",
        "apis/openapi.json": codec.encode_pretty(
            apis.build_openapi(manifest.graph, manifest.name, manifest.version)
        ).encode()
        + b"\n",
        sbom.NAME: codec.encode_pretty(sbom.build_sbom(manifest)).encode() + b"\n",
    }
    for name, content in {**written, **derived}.items():
        _write_file(staged / name, content)
    if dockerfile:
        text = dockerfile(Bento(manifest=manifest, folder=str(staged)))
        derived["env/docker/Dockerfile"] = text.encode()
        _write_file(staged / "env/docker/Dockerfile", text.encode())
    manifest = replace(manifest, derived={name: digest_bytes(derived[name]) for name in sorted(derived)})
    _write_file(staged / bento_yaml.NAME, bento_yaml.format_manifest(manifest))
    return manifest


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def _build_sidecar(plan: BuildPlan) -> dict[str, Any]:
    """What says where a bento came from; no part of it decides the version."""
    return {
        "entry": plan.graph.entry,
        "services": list(plan.graph.names),
        "size": plan.size,
        "project": plan.project,
        "git": _read_revision(plan.project),
    }


def _read_revision(project: str) -> dict[str, Any]:
    """The revision of the project's folder, {} when it is in no repository or there is no git."""
    folder = os.path.realpath(project)
    while not os.path.exists(os.path.join(folder, ".git")):
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return {}
    command = ["git", "-c", "core.fsmonitor=false", "-C", project, "status", "--porcelain=v2", "--branch", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, errors="replace")
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = done.stdout.splitlines()
    revision = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    return {"revision": revision, "changed": any(not line.startswith("#") for line in lines)} if revision else {}
