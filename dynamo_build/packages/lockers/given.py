"""The existing lock file of a project, used as it is: no program runs and no index is asked."""

from __future__ import annotations

from pathlib import Path

from dynamo_build.errors import LockError
from dynamo_build.events import Listener
from dynamo_build.model.plan import Lock, Requirements
from dynamo_build.packages import lockfile
from dynamo_build.seams import Surroundings


class GivenLocker:
    """Reads dynamo.lock."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    def lock(self, wanted: Requirements, project: Path, on: Listener) -> Lock:
        """The lock of the project. Raises LockError when there is none, or it answers another question."""
        path = project / lockfile.NAME
        if not path.is_file():
            raise LockError(f"there is no {lockfile.NAME}", ["Build with the `uv` locker, which writes it."])
        asked, lock = lockfile.load(path)
        if asked != lockfile.fingerprint(wanted):
            raise LockError(f"{lockfile.NAME} does not match the project's requirements", ["Build with `--upgrade`."])
        missing = sorted(set(wanted.platforms) - set(lock.packages))
        if missing or lock.python != wanted.python:
            raise LockError(
                f"{lockfile.NAME} is damaged: it lacks {(missing or [wanted.python])[0]}", ["Build with `--upgrade`."]
            )
        return lock
