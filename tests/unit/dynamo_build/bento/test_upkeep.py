"""Upkeep of the store; the commands show its results."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.bento.store import Store
from dynamo_build.bento.upkeep import Garbage, collect_garbage, select_versions, verify_bentos
from dynamo_build.errors import StoreError, UsageError


def test_an_empty_store(tmp_path: Path) -> None:
    """Nothing is wrong with it, nothing is collected, and a name in it is not found."""
    store = Store(tmp_path)
    assert verify_bentos(store) == {}
    assert collect_garbage(store, keep=1) == collect_garbage(store, keep=1, dry_run=True) == Garbage()
    for every in (True, False):
        with pytest.raises(StoreError):
            select_versions(store, ["none:1"], every=every)
    with pytest.raises(UsageError, match="`none` names no version"):
        select_versions(store, ["none"])
