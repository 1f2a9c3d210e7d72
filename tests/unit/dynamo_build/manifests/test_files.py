"""Manifests as text and as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from dynamo_build.errors import UsageError
from dynamo_build.manifests import files
from dynamo_build.manifests.graph import objects
from dynamo_build.model.deployment import Deployment, Manifests
from support.deployments import deployment, hello_graph


def manifests(made: Deployment | None = None) -> Manifests:
    made = made or deployment(hello_graph())
    return Manifests(deployment=made.name, namespace=made.namespace, target="k8s", items=objects(made))


def test_the_heading_tells_how_to_make_the_token() -> None:
    """The YAML refers to a Secret that it does not hold."""
    text = files.rendered(manifests(), "yaml")
    assert "kubectl -n demo create secret generic hello-world-transport --from-literal=token=" in text
    assert len(list(yaml.safe_load_all(text))) == len(manifests().items)


def test_json_is_one_list() -> None:
    """For machines."""
    assert json.loads(files.rendered(manifests(), "json"))["kind"] == "List"


def test_files_follow_the_graph(tmp_path: Path) -> None:
    """A second run removes what the graph no longer has, and no more."""
    folder = tmp_path / "out"
    first = files.write(files.per_object(manifests(), "yaml"), folder)
    assert all(yaml.safe_load(path.read_text()) for path in first)
    second = files.write(files.per_object(manifests(deployment(hello_graph(), nats="nats://a:1")), "yaml"), folder)
    assert {path.name for path in folder.glob("*.yaml")} == {path.name for path in second}
    assert len(second) < len(first)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Foreign files are named, and nothing is written."""
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"holds `mine\.txt`"):
        files.write(files.per_object(manifests(), "yaml"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_form() -> None:
    """With the known ones."""
    with pytest.raises(UsageError, match="`toml` is not a form"):
        files.rendered(manifests(), "toml")
