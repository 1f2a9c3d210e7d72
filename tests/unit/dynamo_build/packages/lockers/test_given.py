"""The lock beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import LockError
from dynamo_build.events import ignore
from dynamo_build.model.plan import Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.lockers.given import GivenLocker
from dynamo_build.seams import Surroundings
from support.projects import LOCK

WANTED = Requirements(lines=("pydantic",))


def test_only_a_lock_of_the_same_question_is_taken(tmp_path: Path) -> None:
    """A missing, another and a damaged one are refused."""
    locker = GivenLocker(Surroundings(environment={}, cache=tmp_path))
    with pytest.raises(LockError, match="there is no"):
        locker.lock(WANTED, tmp_path, ignore)
    path = tmp_path / lockfile.NAME
    path.write_bytes(lockfile.dump(LOCK, WANTED))
    assert locker.lock(WANTED, tmp_path, ignore).packages == LOCK.packages
    with pytest.raises(LockError, match="does not match"):
        locker.lock(Requirements(lines=("numpy",)), tmp_path, ignore)
    path.write_text(path.read_text().replace("# platform linux/amd64", "# platform linux/arm64"))
    with pytest.raises(LockError, match="damaged"):
        locker.lock(WANTED, tmp_path, ignore)
