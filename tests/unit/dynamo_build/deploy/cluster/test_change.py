"""Whether there is something to change."""

from __future__ import annotations

from dynamo_build.deploy.cluster.change import APPLIED, add_digest, find_differences


def test_what_the_server_added_is_no_difference() -> None:
    """Defaults, status and more list items stay out of it."""
    wanted = {"spec": {"a": 1, "list": [{"name": "x"}], "memory": "1024Mi"}}
    live = {"spec": {"a": 1, "b": 2, "list": [{"name": "x", "c": 3}], "memory": "1Gi"}, "status": {}}
    assert find_differences(wanted, live) == []


def test_differences_are_paths() -> None:
    """Each with its own."""
    wanted = {"spec": {"a": 1, "list": [{"name": "x"}, {"name": "y"}], "gone": {"z": 1}, "empty": {}}}
    live = {"spec": {"a": 2, "list": [{"name": "x"}, {"name": "q"}]}}
    assert find_differences(wanted, live) == ["spec.a", "spec.list[1].name", "spec.gone"]


def test_the_stamp_follows_the_content() -> None:
    """A dropped field shows in the stamp alone."""
    first = add_digest({"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}})
    second = add_digest({"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert first["metadata"]["annotations"][APPLIED] != second["metadata"]["annotations"][APPLIED]
    assert find_differences(second, first) == [f"metadata.annotations.{APPLIED}"]
