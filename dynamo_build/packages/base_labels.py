"""Packages that a base image declares, and their effect on a build and on an image.

A base declares them in the label `dynamo.packages`: a list of objects with `name`, `version` and `imports`. Without the
label it provides nothing. dynamo.lock keeps the digest that a tag had, and the cache keeps what an image declared, so a
second build needs no registry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamo_build.errors import ImageBuildError, StoreError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.plan import BuildOptions, LockedPackage
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages import lockfile
from dynamo_build.system import atomic

if TYPE_CHECKING:
    from dynamo_build.seams import Registry

LABEL = "dynamo.packages"


def provided(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Versions by normalised name (PEP 503); empty where the label is missing or cannot be read."""
    return {entry.name: entry.version for entry in _read_entries(labels.get(LABEL, ""))}


def without(
    packages: Sequence[LockedPackage], given: Mapping[str, str], *, override: bool = False
) -> tuple[LockedPackage, ...]:
    """The packages that the base does not have. With `override` another version goes over the base's own.

    Raises ImageBuildError naming every package of which the base has another version.
    """
    clashes = [
        f"{package.name} {given[package.name]}, locked is {package.version or package.source}"
        for package in packages
        if package.name in given and _public(package.version) != _public(given[package.name])
    ]
    if clashes and not override:
        raise ImageBuildError(
            f"the base has other versions of locked packages: {'; '.join(clashes)}",
            [
                "Lock the versions of the base, by naming them in the project's requirements.",
                "Or give `--allow-override` to install the locked ones over them.",
            ],
        )
    return tuple(
        package
        for package in packages
        if package.name not in given or _public(package.version) != _public(given[package.name])
    )


def _public(version: str) -> str:
    """A version without its local part: a build of the base for its CUDA is `2.5.1+cu124` (PEP 440)."""
    return version.partition("+")[0]


LABEL = "dynamo.packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
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
    said: list[_Entry] = []
    for platform in options.platforms:
        label = _label(base, platform, registry, cache)
        if not label:
            on(Noted(text=f"the base `{base}` has no label {LABEL}, so it provides no packages"))
        said += _read_entries(label)
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


def _read_entries(label: str) -> Iterator[_Entry]:
    try:
        entries: Any = json.loads(label or "[]")
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping):
            continue
        name, version, modules = entry.get("name"), entry.get("version"), entry.get("imports")
        if isinstance(name, str) and isinstance(version, str):
            found = tuple(each for each in modules if isinstance(each, str)) if isinstance(modules, list) else ()
            yield _Entry(name=lockfile.normalised(name), version=version, modules=found)
