"""Strategic merge."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.objects.graph import strategic_merge


def test_named_lists_merge_by_their_key() -> None:
    """A container and its variables merge by name; new items come last."""
    lower = {"containers": [{"name": "main", "image": "a", "env": [{"name": "A", "value": "1"}]}]}
    upper = {
        "containers": [
            {"name": "main", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
            {"name": "side"},
        ]
    }
    assert strategic_merge(lower, upper) == {
        "containers": [
            {"name": "main", "image": "a", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
            {"name": "side"},
        ]
    }


def test_null_removes_and_other_lists_are_replaced() -> None:
    """Null takes a field away; a list without keys is taken as a whole."""
    assert strategic_merge({"a": 1, "args": ["x"]}, {"a": None, "args": ["y"]}) == {"args": ["y"]}


def test_patch_directives() -> None:
    """`$patch: delete` removes an item, `$patch: replace` an object."""
    assert strategic_merge(
        {"volumes": [{"name": "a"}, {"name": "b"}]}, {"volumes": [{"name": "a", "$patch": "delete"}]}
    ) == {"volumes": [{"name": "b"}]}
    assert strategic_merge({"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}) == {"a": {"y": 2}}


def test_ports_merge_by_number() -> None:
    """A container's port by its number."""
    merged = strategic_merge(
        {"ports": [{"containerPort": 1, "name": "a"}]}, {"ports": [{"containerPort": 1, "name": "b"}]}
    )
    assert merged == {"ports": [{"containerPort": 1, "name": "b"}]}


def test_neither_side_is_changed() -> None:
    """The inputs stay as they were."""
    lower = {"a": {"b": 1}}
    strategic_merge(lower, {"a": {"b": 2}})
    assert lower == {"a": {"b": 1}}
