"""Fields that an apply changes."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_build.deploy.cluster.field_diff import NOTHING, compare_objects

NAMED = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]


@pytest.mark.parametrize(
    ("wanted", "live", "before", "found"),
    [
        ({"a": 1}, {"a": 1, "server": 2}, NOTHING, []),
        ({"a": 1}, {"a": 2}, NOTHING, [("a", 2, 1)]),
        ({"a": 1}, {}, NOTHING, [("a", NOTHING, 1)]),
        ({}, {"a": 1}, {"a": 1}, [("a", 1, NOTHING)]),
        ({}, {"a": 1}, NOTHING, []),
        ({}, {}, {"a": 1}, []),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}, NOTHING, []),
        ({"env": NAMED[1:]}, {"env": NAMED}, {"env": NAMED}, [("env[a]", NAMED[0], NOTHING)]),
        ({"env": NAMED[1:]}, {"env": NAMED}, {"env": NAMED[1:]}, []),
        ({"env": NAMED[::-1]}, {"env": NAMED}, NOTHING, []),
        ({"env": NAMED}, {"env": NAMED[:1]}, NOTHING, [("env[b]", NOTHING, NAMED[1])]),
        ({"args": ["a"]}, {"args": ["a", "b"]}, NOTHING, [("args", ["a", "b"], ["a"])]),
        ({"args": ["a"]}, {"args": ["b"]}, NOTHING, [("args[0]", "b", "a")]),
        ({"a": {"b": 1}}, {"a": "text"}, NOTHING, [("a", "text", {"b": 1})]),
    ],
)
def test_what_changes(wanted: Any, live: Any, before: Any, found: list[Any]) -> None:
    """What the server added stays, what was ours and is not wanted goes, items are known by name."""
    assert list(compare_objects(wanted, live, before)) == found
