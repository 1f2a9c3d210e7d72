"""A plan and its lock as a bento: every file copied and digested in one pass, published at once, the same anywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.config import configured
from dynamo_build import archive, disk, document, lockfile, runtime_wheel
from dynamo_build.errors import GraphError
from dynamo_build.events import Finished, Listener, Progress, Started, ignore
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.plan import BuildPlan, Lock, PlannedFile
from dynamo_build.stages import apis, sbom
from dynamo_build.stamps import Stamps
from dynamo_build.store import Store, content_version

_CHUNK = 1 << 20
Read = dict[str, tuple[str, os.stat_result]]


def pack(
    plan: BuildPlan,
    lock: Lock,
    store: Store,
    on: Listener = ignore,
    *,
    dockerfile: Callable[[Bento], str] | str = "",
    rehash: bool = False,
) -> Bento:
    """Put the bento of a plan into the store; one that is there already is kept and costs no copy.

    `dockerfile` gives the text for env/docker once the rest is in place. Raises StoreError, GraphError for a file
    that cannot be read any more.
    """
    wheel = runtime_wheel.made()
    stamps = Stamps.of(store.root / "cache", plan.project)
    if not rehash and (known := _known(plan, stamps)) is not None:
        manifest = _manifest(plan, lock, wheel, known)
        if bento := store.reuse(manifest, plan.project):
            return bento
    on(Started(what="packing"))
    with store.staging() as staged, disk.reporting("write the bento"):
        began = time.time_ns()
        read = _copy(plan, staged / "src", on)
        stamps.save(read, began)
        manifest = _manifest(plan, lock, wheel, {path: digest for path, (digest, _) in read.items()})
        if bento := store.reuse(manifest, plan.project):
            return bento
        listing = _listing({path: digest for path, (digest, _) in read.items()})
        manifest = _furnish(staged, manifest, wheel, listing, dockerfile)
        bento = store.put(staged, manifest, _side(plan), plan.project)
    on(Finished(what="packed", detail=f"{manifest.files_count} files"))
    return bento


def _known(plan: BuildPlan, stamps: Stamps) -> Mapping[str, str] | None:
    found = {}
    for file in plan.files:
        try:
            digest = stamps.digest(file.path, os.stat(os.path.join(plan.project, file.path)))
        except OSError:
            return None
        if not digest:
            return None
        found[file.path] = digest
    return found


def _copy(plan: BuildPlan, target: Path, on: Listener) -> Read:
    """Copy the files and digest what was written. Raises GraphError for one that cannot be read."""
    read: Read = {}
    made: set[str] = set()
    done, total = 0, plan.size
    for file in plan.files:
        parent = os.path.dirname(os.path.join(target, file.path))
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        read[file.path] = _copy_one(plan, file, target)
        done += file.size
        on(Progress(what="packing", done=done, total=total))
    if not plan.files:
        target.mkdir()
    return read


def _copy_one(plan: BuildPlan, file: PlannedFile, target: Path) -> tuple[str, os.stat_result]:
    try:
        source = open(os.path.join(plan.project, file.path), "rb", buffering=0)  # noqa: SIM115  (closed below)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GraphError(
            f"`{file.path}` cannot be read any more: {reason}", ["Build again once it is there."]
        ) from error
    digest = hashlib.sha256()
    with source, open(os.path.join(target, file.path), "xb", buffering=0) as copy:
        status = os.fstat(source.fileno())
        buffer = bytearray(min(_CHUNK, max(1, status.st_size + 1)))
        view = memoryview(buffer)
        while count := source.readinto(buffer):
            digest.update(view[:count])
            written = 0
            while written < count:
                written += copy.write(view[written:count])
        os.fchmod(copy.fileno(), 0o755 if file.executable else 0o644)
    return digest.hexdigest(), status


def _manifest(plan: BuildPlan, lock: Lock, wheel: runtime_wheel.Wheel, digests: Mapping[str, str]) -> BentoManifest:
    manifest = BentoManifest(
        name=plan.name,
        version="",
        graph=configured(plan.graph, plan.config),
        python=lock.python,
        platforms=tuple(sorted(lock.packages)),
        files_digest=archive.digest(_listing(digests)),
        files_count=len(plan.files),
        files_size=sum(file.size for file in plan.files),
        executables=tuple(file.path for file in plan.files if file.executable),
        config=plan.config,
        lock=replace(lock, written=""),
        runtime=wheel.name,
        runtime_digest=archive.digest(wheel.content),
        base=plan.base,
        system_packages=plan.system_packages,
        setup_commands=plan.setup_commands,
        labels=plan.labels,
    )
    return replace(manifest, version=plan.version or content_version(manifest))


def _listing(digests: Mapping[str, str]) -> bytes:
    return archive.listing((f"src/{path}", digests[path]) for path in sorted(digests, key=str.encode))


def _furnish(
    staged: Path,
    manifest: BentoManifest,
    wheel: runtime_wheel.Wheel,
    listing: bytes,
    dockerfile: Callable[[Bento], str] | str,
) -> BentoManifest:
    """Write everything but the project's files; gives the manifest with the digests of what was derived."""
    written = {
        "files.sha256": listing,
        "config/graph.json": codec.canonical(manifest.graph),
        "config/config.json": codec.ordered(manifest.config),
        f"runtime/{wheel.name}": wheel.content,
    }
    for platform, packages in manifest.lock.packages.items():
        name = f"env/python/requirements-{platform.replace('/', '-')}.txt"
        written[name] = lockfile.requirements(packages).encode()
    derived = {
        "apis/schema.json": codec.pretty(apis.schema(manifest.graph)).encode() + b"\n",
        "apis/openapi.json": codec.pretty(apis.openapi(manifest.graph, manifest.name, manifest.version)).encode()
        + b"\n",
        sbom.NAME: codec.pretty(sbom.sbom(manifest)).encode() + b"\n",
    }
    for name, content in {**written, **derived}.items():
        _write(staged / name, content)
    text = dockerfile if isinstance(dockerfile, str) else dockerfile(Bento(manifest=manifest, folder=str(staged)))
    if text:
        derived["env/docker/Dockerfile"] = text.encode()
        _write(staged / "env/docker/Dockerfile", text.encode())
    manifest = replace(manifest, derived={name: archive.digest(derived[name]) for name in sorted(derived)})
    _write(staged / document.NAME, document.dump(manifest))
    return manifest


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def _side(plan: BuildPlan) -> dict[str, Any]:
    """What says where a bento came from; no part of it decides the version."""
    return {
        "entry": plan.graph.entry,
        "services": list(plan.graph.names),
        "size": plan.size,
        "project": plan.project,
        "git": _git(plan.project),
    }


def _git(project: str) -> dict[str, Any]:
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
