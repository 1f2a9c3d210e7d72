"""Where each value of a configuration was set."""

from __future__ import annotations

from dataclasses import replace

from dynamo.sdk.graph import Parameter, ServiceGraph
from dynamo_build.graph.config import shown
from support.projects import FRONTEND, GRAPH

PARAMETERS = (Parameter(name="model", required=False, default="echo"), Parameter(name="size", required=True))
WITH: ServiceGraph = replace(
    GRAPH, services=(replace(FRONTEND, parameters=PARAMETERS, workers=2, envs={"A": "1", "B": "2"}),)
)


def told(*layers: tuple[str, dict[str, object]]) -> dict[str, tuple[object, str]]:
    return {f"{item.service}.{item.key}": (item.value, item.source) for item in shown(WITH, layers)}


def test_each_value_has_the_source_that_won() -> None:
    """An argument over the file over the decorator over the constructor's default."""
    file = {
        "Frontend": {"size": 3, "deep": {"a": 1, "b": 2}, "ServiceArgs": {"workers": 4, "envs": {"B": "3"}}},
    }
    found = told(("config.yaml", file), ("argument", {"Frontend": {"deep": {"b": 5}}}))
    assert found["Frontend.model"] == ("echo", "constructor default")
    assert found["Frontend.size"] == (3, "config.yaml")
    assert found["Frontend.deep.a"] == (1, "config.yaml")
    assert found["Frontend.deep.b"] == (5, "argument")
    assert found["Frontend.ServiceArgs.workers"] == (4, "config.yaml")
    assert found["Frontend.ServiceArgs.envs.A"] == ("1", "decorator")
    assert found["Frontend.ServiceArgs.envs.B"] == ("3", "config.yaml")
    assert found["Frontend.ServiceArgs.resources.memory"] == ("500Mi", "decorator")


def test_common_keys_are_shown_where_they_are_subscribed_to() -> None:
    """And on their own; a key of the service itself wins."""
    file = {"Common": {"x": 1, "y": 2}, "Frontend": {"common-configs": ["x", "y"], "y": 3}}
    found = told(("c.yaml", file))
    assert (found["Frontend.x"], found["Frontend.y"], found["Common.y"]) == (
        (1, "c.yaml"),
        (3, "c.yaml"),
        (2, "c.yaml"),
    )


def test_an_argument_for_a_default_replaces_it() -> None:
    """Null is a value too."""
    assert told(("argument", {"Frontend": {"model": None}}))["Frontend.model"] == (None, "argument")
