"""Exact packages for a plan: the lock beside the project while it fits, else a new one that is written there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dynamo_build import disk, lockfile
from dynamo_build.errors import LockError, StoreError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.plan import Lock, Requirements
from dynamo_build.seams import Locker


def lock(
    wanted: Requirements,
    project: Path,
    *,
    given: Locker,
    resolver: Locker,
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
        seen = "does not fit what the project asks for" if wanted.lock else "is not there"
        raise LockError(f"{lockfile.NAME} {seen}", ["Build once without `--locked`, and commit the file."])
    found = resolver.lock(replace(wanted, lock="") if upgrade else wanted, project, on)
    if not os.access(project, os.W_OK):
        on(Noted(text=f"the project folder is read-only, so {lockfile.NAME} is not written"))
        return replace(found, written="")
    try:
        with disk.reporting(f"write {lockfile.NAME}"):
            disk.write(path, lockfile.dump(found, wanted))
            path.chmod(0o644)
    except StoreError as error:
        raise LockError(error.message, error.hints) from error
    on(Noted(text=f"wrote {lockfile.NAME}: commit it, and every build has these packages"))
    return replace(found, written=str(path))
