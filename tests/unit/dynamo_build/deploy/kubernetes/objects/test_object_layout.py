"""Names and labels of a deployment's objects."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from dynamo_build.errors import DeployError
from support.deployments import deployment, hello_graph


def test_the_configuration_is_named_by_its_content() -> None:
    """Another configuration has another name, the same one the same."""
    first = Layout(deployment(hello_graph(), config={"A": {"b": 1}}))
    again = Layout(deployment(hello_graph(), config={"A": {"b": 1}}))
    other = Layout(deployment(hello_graph(), config={"A": {"b": 2}}))
    assert first.config_name == again.config_name != other.config_name


def test_selectors_hold_no_version() -> None:
    """A selector can never change, so it names only the component and the deployment."""
    layout = Layout(deployment(hello_graph()))
    assert layout.build_selector("backend") == {
        "app.kubernetes.io/name": "backend",
        "app.kubernetes.io/instance": "hello-world",
    }
    assert layout.build_labels("backend", "worker")["app.kubernetes.io/version"] == "1234e56"
    assert "app.kubernetes.io/version" not in layout.build_labels("nats", "nats")


def test_labels_of_the_service_are_made_valid() -> None:
    """Values are bent into shape, keys are refused."""
    layout = Layout(deployment(hello_graph(), workload={"labels": {"team": "a b/c"}}))
    assert layout.workload_labels(layout.find_workload("Backend"))["team"] == "a-b-c"
    layout = Layout(deployment(hello_graph(), workload={"labels": {"a b": "c"}}))
    with pytest.raises(DeployError, match="cannot be the key of a label"):
        layout.workload_labels(layout.find_workload("Backend"))


def test_an_existing_nats_is_used() -> None:
    """With an address there is none of our own."""
    assert Layout(deployment(hello_graph())).nats_address == "nats://hello-world-nats:4222"
    assert Layout(deployment(hello_graph(), nats="nats://a:1")).nats_address == "nats://a:1"
