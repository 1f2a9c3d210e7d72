"""When a lock is made, and when the one that is there is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import LockError
from dynamo_build.model.plan import Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.lock import lock
from dynamo_build.packages.lockers.given import GivenLocker
from dynamo_build.packages.wheels import Wheels
from dynamo_build.seams import Surroundings
from support.projects import PACKAGE, FakeLocker

WHEELS = Wheels(environment={}, cache=Path("/nowhere"))


def wanted(project: Path, *lines: str) -> Requirements:
    there = lockfile.NAME if (project / lockfile.NAME).exists() else ""
    return Requirements(lines=lines or ("pydantic",), lock=there)


def test_the_first_build_writes_a_lock_and_later_ones_take_it(tmp_path: Path) -> None:
    """Nothing is asked again until the question changes or an upgrade is wanted."""
    fake, given = FakeLocker(), GivenLocker(Surroundings(environment={}, cache=tmp_path))
    first = lock(wanted(tmp_path), tmp_path, given=given, resolver=fake, wheels=WHEELS)
    assert first.packages == {"linux/amd64": (PACKAGE,)}
    assert lock(wanted(tmp_path), tmp_path, given=given, resolver=fake, wheels=WHEELS, locked=True) == first
    assert len(fake.asked) == 1
    lock(wanted(tmp_path, "pydantic", "numpy"), tmp_path, given=given, resolver=fake, wheels=WHEELS)
    assert [bool(question.lock) for question in fake.asked] == [False, True]
    lock(wanted(tmp_path, "pydantic", "numpy"), tmp_path, given=given, resolver=fake, wheels=WHEELS, upgrade=True)
    assert [bool(question.lock) for question in fake.asked] == [False, True, False]


def test_locked_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """A missing lock and one of another question are errors, and nothing is written."""
    fake, given = FakeLocker(), GivenLocker(Surroundings(environment={}, cache=tmp_path))
    with pytest.raises(LockError, match="is not there"):
        lock(wanted(tmp_path), tmp_path, given=given, resolver=fake, wheels=WHEELS, locked=True)
    lock(wanted(tmp_path), tmp_path, given=given, resolver=fake, wheels=WHEELS)
    with pytest.raises(LockError, match="does not match"):
        lock(wanted(tmp_path, "numpy"), tmp_path, given=given, resolver=fake, wheels=WHEELS, locked=True)
    assert len(fake.asked) == 1
