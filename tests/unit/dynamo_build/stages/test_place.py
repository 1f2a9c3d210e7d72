"""Placing a bento."""

from __future__ import annotations

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import SecretReference
from dynamo_build.stages.place import PlaceOptions, named_images, place
from support.deployments import IMAGE, bento, disaggregated_graph, hello_graph

IMAGES = dict.fromkeys(hello_graph().names, IMAGE)


def test_the_graph_becomes_workloads() -> None:
    """Calls, the entry, replicas and budgets come from the graph."""
    graph = disaggregated_graph()
    made = place(bento(graph), dict.fromkeys(graph.names, IMAGE), PlaceOptions())
    found = {workload.service: workload for workload in made.workloads}
    assert made.name == "hello_world" and made.entry == "Frontend"
    assert found["Processor"].calls == ("VllmWorker", "Router")
    assert found["Processor"].replicas == 3
    assert found["VllmWorker"].startup > found["Router"].startup
    assert [service for service, item in found.items() if item.entry] == ["Frontend"]


def test_configuration_overrides_deeply_but_never_the_image() -> None:
    """Deploy's configuration lies over the bento's; ServiceArgs reach replicas and resources."""
    packed = bento(hello_graph(), config={"Backend": {"a": {"x": 1, "y": 2}}})
    config = {"Backend": {"a": {"y": 3}, "ServiceArgs": {"workers": 4, "resources": {"cpu": "2"}}}}
    made = place(packed, IMAGES, PlaceOptions(config=config))
    backend = next(item for item in made.workloads if item.service == "Backend")
    assert made.config["Backend"]["a"] == {"x": 1, "y": 3}
    assert (backend.replicas, backend.resources.cpu, backend.image) == (4, "2", IMAGE)
    assert made.bento == packed.tag


def test_one_platform_is_asked_of_the_nodes() -> None:
    """An image of one architecture runs only there."""
    assert place(bento(hello_graph()), IMAGES, PlaceOptions()).options == {"architecture": "amd64"}
    assert place(bento(hello_graph()), IMAGES, PlaceOptions(target="compose")).options == {}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({}, "no image for Backend, Middle, Frontend"),
        ({**IMAGES, "Nobody": IMAGE}, "no service `Nobody`"),
        ({**IMAGES, "Backend": "a.example/b:1"}, "has no digest"),
    ],
)
def test_every_service_needs_an_image_by_digest(images: dict[str, str], message: str) -> None:
    """Tags may come to mean something else."""
    with pytest.raises(UsageError, match=message):
        place(bento(hello_graph()), images, PlaceOptions())


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"A-B": "1"}, "cannot be the name of a variable"),
        ({"HF_TOKEN": "x"}, "set both"),
        ({"API_KEY": "hunter2"}, "looks like a secret"),
    ],
)
def test_variables_are_checked(environment: dict[str, str], message: str) -> None:
    """Names, doubles, and secrets that would stand in the manifest."""
    secrets = (SecretReference(variable="HF_TOKEN", secret="hf", key="token"),)
    if message == "set both":
        environment = {"HF_TOKEN": ""}
    with pytest.raises(UsageError, match=message):
        place(bento(hello_graph()), IMAGES, PlaceOptions(environment=environment, secrets=secrets))


def test_named_images() -> None:
    """One for all, and another for one of them, in any order."""
    other = IMAGE.replace("team/hello", "team/other")
    found = named_images([f"B={other}", IMAGE], ["A", "B"])
    assert found == {"A": IMAGE, "B": other}
    assert named_images([f"B={other}"], ["A", "B"]) == {"B": other}
    with pytest.raises(UsageError, match="no service `C`"):
        named_images([f"C={other}"], ["A", "B"])
    with pytest.raises(UsageError, match="has no digest"):
        named_images(["a.example/b:1"], ["A"])
