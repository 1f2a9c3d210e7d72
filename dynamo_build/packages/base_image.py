"""What a declared base image brings into a build: exact packages for the lock, modules for discovery.

A base says it in the label `dynamo.packages`: a list of objects with `name`, `version` and `imports`. Which image a
tag named is kept in dynamo.lock, and what an image said in the cache, so a second build asks no registry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo_build.errors import StoreError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.plan import BuildOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages import lockfile
from dynamo_build.system import atomic

if TYPE_CHECKING:
    from dynamo_build.seams import Registry

LABEL = "dynamo.packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """One entry of a base's label."""

    name: str
    version: str
    modules: tuple[str, ...]


def declare(
    options: BuildOptions,
    project: Path,
    registry: Callable[[ImageReference], Registry],
    cache: Path,
    on: Listener = ignore,
) -> BuildOptions:
    """The options with the declared base by its digest, and what it brings along. Raises UsageError, RegistryError.

    Without a declared base they are as they were.
    """
    if not options.base:
        return options
    base = ImageReference.parse(options.base)
    if not base.digest:
        base = _kept(project, base) if not options.upgrade else base
    if not base.digest:
        base = base.with_digest(str(registry(base).resolve(base)))
    said: list[_Said] = []
    for platform in options.platforms:
        label = _label(base, platform, registry, cache)
        if not label:
            on(Noted(text=f"the base `{base}` does not say which packages it has (label {LABEL}): it provides none"))
        said += _entries(label)
    versions: dict[str, set[str]] = {}
    for each in said:
        # a build of the base for its CUDA is `2.5.1+cu124` (PEP 440), and an index has `2.5.1`
        versions.setdefault(each.name, set()).add(each.version.partition("+")[0])
    exact = (f"{name}=={found.pop()}" for name, found in sorted(versions.items()) if len(found) == 1)
    modules = {module.partition(".")[0] for each in said for module in each.modules}
    return replace(options, base=str(base), base_packages=tuple(exact), base_modules=tuple(sorted(modules)))


def _kept(project: Path, base: ImageReference) -> ImageReference:
    kept = lockfile.base_of(project / lockfile.NAME)
    if kept:
        reference = ImageReference.parse(kept)
        if replace(reference, digest="") == base:
            return reference
    return base


def _label(base: ImageReference, platform: str, registry: Callable[[ImageReference], Registry], cache: Path) -> str:
    path = cache / "bases" / f"{base.digest.replace(':', '-')}-{platform.replace('/', '-')}.json"
    try:
        known = json.loads(path.read_bytes())
        if isinstance(known, str):
            return known
    except (OSError, ValueError, RecursionError):
        pass
    label = registry(base).pull(base, platform).labels.get(LABEL, "")
    try:
        with atomic.reporting("write the cache"):
            atomic.keep(path, json.dumps(label).encode())
    except StoreError:
        pass  # asked again then
    return label


def _entries(label: str) -> Iterator[_Said]:
    try:
        entries: Any = json.loads(label or "[]")
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping):
            continue
        name, version, modules = entry.get("name"), entry.get("version"), entry.get("imports", [])
        if isinstance(name, str) and isinstance(version, str) and isinstance(modules, list):
            found = tuple(module for module in modules if isinstance(module, str))
            yield _Said(name=lockfile.normalised(name), version=version, modules=found)
