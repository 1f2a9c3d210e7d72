"""Placing a bento."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.sdk.references import resolve_references, secret_variable
from dynamo_build.deploy.place import PlaceOptions, list_secret_references, parse_named_images, place_bento
from dynamo_build.deploy.targets.compose import ComposeTarget
from dynamo_build.deploy.targets.dynamo_crd import DynamoCrdTarget
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import SecretReference
from dynamo_build.seams import Surroundings
from support.deployments import IMAGE, bento, disaggregated_graph, hello_graph

IMAGES = dict.fromkeys(hello_graph().names, IMAGE)


def test_the_graph_becomes_workloads() -> None:
    """Calls, the entry, replicas and budgets come from the graph."""
    graph = disaggregated_graph()
    made = place_bento(bento(graph), dict.fromkeys(graph.names, IMAGE), PlaceOptions())
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
    made = place_bento(packed, IMAGES, PlaceOptions(config=config))
    backend = next(item for item in made.workloads if item.service == "Backend")
    assert made.config["Backend"]["a"] == {"x": 1, "y": 3}
    assert (backend.replicas, backend.resources.cpu, backend.image) == (4, "2", IMAGE)
    assert made.bento == packed.tag


def test_one_platform_is_asked_of_the_nodes() -> None:
    """An image of one architecture runs only there."""
    assert place_bento(bento(hello_graph()), IMAGES, PlaceOptions()).options == {"architecture": "amd64"}
    assert place_bento(bento(hello_graph()), IMAGES, PlaceOptions(pin_architecture=False)).options == {}


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
        place_bento(bento(hello_graph()), images, PlaceOptions())


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
        place_bento(bento(hello_graph()), IMAGES, PlaceOptions(environment=environment, secrets=secrets))


@pytest.mark.parametrize("namespace", ["Bad_NS", "-a", "a.b", "", "a" * 64])
def test_a_namespace_that_no_cluster_takes(namespace: str) -> None:
    """Is named before anything is rendered."""
    with pytest.raises(UsageError, match="cannot be a namespace"):
        place_bento(bento(hello_graph()), IMAGES, PlaceOptions(namespace=namespace))


def test_an_address_that_no_client_takes() -> None:
    """Is named before anything is rendered; what is right gets its scheme."""
    with pytest.raises(UsageError, match="invalid address of a NATS server: `ftp://x`"):
        place_bento(bento(hello_graph()), IMAGES, PlaceOptions(nats="ftp://x"))
    assert place_bento(bento(hello_graph()), IMAGES, PlaceOptions(nats="x:4222")).nats == "nats://x:4222"


def test_images_that_were_delivered(tmp_path: Path) -> None:
    """`@FILE` holds what `containerize -o json` printed: one image or several; anything else is one line."""
    path = tmp_path / "images.json"
    path.write_text(json.dumps({"reference": IMAGE, "services": ["A", "B"], "digest": "…"}))
    assert parse_named_images([f"@{path}"], ["A", "B"]) == {"A": IMAGE, "B": IMAGE}
    path.write_text(json.dumps([{"reference": IMAGE, "services": ["A"]}, {"reference": IMAGE, "services": ["B"]}]))
    assert parse_named_images([f"@{path}"], ["A", "B"]) == {"A": IMAGE, "B": IMAGE}
    for text in ("", "[]x", '{"reference": 1}', '"a"', "[1]"):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a list of images"):
            parse_named_images([f"@{path}"], ["A"])
    with pytest.raises(UsageError, match="cannot be read"):
        parse_named_images([f"@{tmp_path}/none"], ["A"])


def test_named_images() -> None:
    """One for all, and another for one of them, in any order."""
    other = IMAGE.replace("team/hello", "team/other")
    found = parse_named_images([f"B={other}", IMAGE], ["A", "B"])
    assert found == {"A": IMAGE, "B": other}
    assert parse_named_images([f"B={other}"], ["A", "B"]) == {"B": other}
    with pytest.raises(UsageError, match="no service `C`"):
        parse_named_images([f"C={other}"], ["A", "B"])
    with pytest.raises(UsageError, match="has no digest"):
        parse_named_images(["a.example/b:1"], ["A"])


def test_what_a_configuration_refers_to_comes_from_its_secret() -> None:
    """A service gets the secrets of its own part and the common one; a variable that refers is the worker's to set."""
    graph = hello_graph()
    services = tuple(
        replace(service, envs={"HF_TOKEN": "${secret:hf/token}", "PLAIN": "x"}) if service.name == "Middle" else service
        for service in graph.services
    )
    config = {
        "Backend": {"url": "https://u:${secret:my-db/pass.word}@db", "deep": {"list": ["${env:HOME}"]}},
        "Common": {"key": "${secret:shared/key}"},
    }
    made = place_bento(bento(replace(graph, services=services), config=config), IMAGES, PlaceOptions())
    found = {workload.service: workload for workload in made.workloads}
    shared = SecretReference(variable="DYNAMO_SECRET_SHARED_KEY", secret="shared", key="key")
    database = SecretReference(variable="DYNAMO_SECRET_MY_DB_PASS_WORD", secret="my-db", key="pass.word")
    assert found["Backend"].secrets == (database, shared)
    assert found["Frontend"].secrets == (shared,)
    assert [item.variable for item in found["Middle"].secrets] == ["DYNAMO_SECRET_HF_TOKEN", shared.variable]
    assert found["Middle"].environment == {"PLAIN": "x"}
    assert made.config == config


def test_two_secrets_of_one_variable_are_told() -> None:
    """`a-b/c` and `a.b/c` cannot be told apart in the environment."""
    packed = bento(hello_graph(), config={"Backend": {"x": "${secret:a-b/c} ${secret:a.b/c}"}})
    with pytest.raises(UsageError, match="would both be DYNAMO_SECRET_A_B_C"):
        place_bento(packed, IMAGES, PlaceOptions())


@pytest.mark.parametrize("target", [KubernetesTarget, DynamoCrdTarget])
def test_a_secret_is_rendered_by_reference(target: type[KubernetesTarget] | type[DynamoCrdTarget]) -> None:
    """And its value is in no manifest, since nobody here knows it."""
    packed = bento(hello_graph(), config={"Backend": {"key": "${secret:hf/token}"}})
    made = place_bento(packed, IMAGES, PlaceOptions(name="hello"))
    text = str([item.document for item in target(Surroundings()).render(made).items])
    wanted = {"name": "DYNAMO_SECRET_HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    assert text.count(str(wanted)) == 1


def test_compose_takes_a_secret_from_its_environment() -> None:
    """And says which when it is not set."""
    packed = bento(hello_graph(), config={"Backend": {"key": "${secret:hf/token}"}})
    made = place_bento(packed, IMAGES, PlaceOptions(name="hello", pin_architecture=False))
    services = ComposeTarget(Surroundings()).render(made).items[0].document["services"]
    variable = "DYNAMO_SECRET_HF_TOKEN"
    assert services["backend"]["environment"][variable] == f"${{{variable}:?the value of token in hf}}"
    assert variable not in services["frontend"]["environment"]


@pytest.mark.parametrize(("secret", "key"), [("hf", "token"), ("my-db.x", "Pass.word-1_2")])
def test_the_worker_reads_the_variable_that_a_target_fills(secret: str, key: str) -> None:
    """Both sides name it alike."""
    text = f"x${{secret:{secret}/{key}}}y"
    (found,) = list_secret_references(hello_graph().services[0], {"Backend": {"a": [text]}})
    assert found == SecretReference(variable=secret_variable(secret, key), secret=secret, key=key)
    assert resolve_references(text, {found.variable: "value"}) == "xvaluey"
