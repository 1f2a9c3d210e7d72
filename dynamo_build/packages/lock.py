"""The lock of a plan: dynamo.lock beside the project while it matches, else a new one that is written there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dynamo_build.errors import LockError, StoreError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.plan import Lock, LockedPackage, Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.wheels import Wheel, Wheels
from dynamo_build.seams import Locker
from dynamo_build.system import atomic

_HINT = "Build with `--upgrade` to lock anew what is here."


def lock(
    wanted: Requirements,
    project: Path,
    *,
    given: Locker,
    resolver: Locker,
    wheels: Wheels,
    upgrade: bool = False,
    locked: bool = False,
    on: Listener = ignore,
) -> Lock:
    """The lock of what is wanted. `given` reads the one that is there, `resolver` makes one.

    Raises LockError when `locked` and it does not fit, or when packages cannot be locked; ToolMissing.
    """
    path = project / lockfile.NAME
    if wanted.lock and not upgrade and lockfile.fits(path, wanted):
        return given.lock(wanted, project, on)
    if locked:
        seen = "does not match the project's requirements" if wanted.lock else "is not there"
        raise LockError(f"{lockfile.NAME} {seen}", ["Build once without `--locked`, and commit the file."])
    asked = replace(wanted, lock="") if upgrade else wanted
    # Two passes. A local package has no version before its wheel is built, and the resolver takes packages by version
    # only: so its wheel comes first and goes in as `name==version`. A package at a commit is the other way round: only
    # the resolver says at which commit, so its wheel is built from the answer. Both travel in the bento by their hash.
    local = {each.name: wheels.local(each, project, wanted.platforms, wanted.python) for each in wanted.local}
    found = _travelling(resolver.lock(_pinned(asked, local), project, on), local, wheels)
    if not os.access(project, os.W_OK):
        on(Noted(text=f"the project folder is read-only, so {lockfile.NAME} is not written"))
        return replace(found, written="")
    try:
        with atomic.reporting(f"write {lockfile.NAME}"):
            atomic.write(path, lockfile.dump(found, wanted))
            path.chmod(0o644)
    except StoreError as error:
        raise LockError(error.message, error.hints) from error
    on(Noted(text=f"wrote {lockfile.NAME}: commit it, and every build has these packages"))
    return replace(found, written=str(path))


def carried(lock: Lock, wanted: Requirements, project: Path, wheels: Wheels) -> Mapping[str, Path]:
    """The wheels that travel in the bento by their names, made again where they are not at hand. Raises LockError."""
    local = {each.name: each for each in wanted.local}
    found: dict[str, Path] = {}
    for platform, packages in lock.packages.items():
        for package in packages:
            if not package.wheel or package.wheel in found:
                continue
            if package.source:
                wheel = wheels.git(package, (platform,), lock.python)
            elif package.name in local:
                wheel = wheels.local(local[package.name], project, (platform,), lock.python)
            else:
                raise LockError(f"{lockfile.NAME} names a wheel of {package.name}, which is not here", [_HINT])
            if wheel.digest not in package.hashes:
                raise LockError(f"building {package.name} gave a different wheel than the lock has", [_HINT])
            found[package.wheel] = wheel.path
    return found


def _pinned(wanted: Requirements, local: Mapping[str, Wheel]) -> Requirements:
    """With the local packages by their versions, and where they lie."""
    lines = (*wanted.lines, *(f"{wheel.name}=={wheel.version}" for wheel in local.values()))
    return replace(wanted, lines=lines, wheels=tuple(str(wheel.path.parent) for wheel in local.values()))


def _travelling(lock: Lock, local: Mapping[str, Wheel], wheels: Wheels) -> Lock:
    """With the wheels of local packages and of commits for what is locked."""

    def settled(package: LockedPackage, platform: str) -> LockedPackage:
        wheel = local.get(package.name)
        if wheel is None and package.source.startswith("git+"):
            wheel = wheels.git(package, (platform,), lock.python)
        if wheel is None:
            return package
        return replace(package, version=wheel.version, hashes=(wheel.digest,), wheel=wheel.path.name)

    packages = {
        platform: tuple(settled(package, platform) for package in found) for platform, found in lock.packages.items()
    }
    return replace(lock, packages=packages)
