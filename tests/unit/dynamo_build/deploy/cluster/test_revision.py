"""Manifests kept on the cluster, to go back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_build.deploy.cluster import members, revision
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import apply_manifests
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from dynamo_build.events import Event, Warned
from dynamo_build.model.deployment import Manifests
from dynamo_build.seams import ApplyOptions, Surroundings
from support.cluster import Cluster
from support.deployments import deployment, hello_graph


def deploy(connection: Connection, number: int = 0, **options: Any) -> list[Event]:
    said: list[Event] = []
    made = deployment(hello_graph(), config={"A": {"n": number}})
    manifests = Manifests(deployment=made.name, namespace=made.namespace, target="k8s", items=build_objects(made))
    apply_manifests(
        manifests, Surroundings(applying=ApplyOptions(**options), cache=Path("/nowhere")), said.append, connection
    )
    return said


def kept(connection: Connection) -> list[tuple[int, bool]]:
    parent = members.find_parent(connection, "hello-world", "demo")
    return [(item.number, item.current) for item in revision.list_revisions(connection, parent)]


def test_only_what_differs_makes_a_revision(connection: Connection) -> None:
    """The newest first, the last five kept, one of them current."""
    deploy(connection)
    deploy(connection)
    assert kept(connection) == [(1, True)]
    for number in range(1, 8):
        deploy(connection, number)
    assert kept(connection) == [(8, True), (7, False), (6, False), (5, False), (4, False)]


def test_a_dry_run_keeps_none(connection: Connection) -> None:
    """Nothing is written."""
    deploy(connection)
    deploy(connection, 1, dry_run=True)
    assert kept(connection) == [(1, True)]


def test_the_manifests_come_back_as_they_were(connection: Connection) -> None:
    """Byte for byte; the current ones without a number."""
    deploy(connection)
    deploy(connection, 1)
    parent = members.find_parent(connection, "hello-world", "demo")
    for number, config in ((1, 0), (2, 1), (0, 1)):
        found = revision.read_manifests(connection, parent, number)
        made = build_objects(deployment(hello_graph(), config={"A": {"n": config}}))
        assert [item.document for item in found.items] == [item.document for item in made]
    with pytest.raises(DeployError, match="revision 9 of hello-world is not kept"):
        revision.read_manifests(connection, parent, 9)


def test_owned_by_the_parent(double: Cluster, connection: Connection) -> None:
    """With the parent they go."""
    deploy(connection)
    connection.request("DELETE", "/api/v1/namespaces/demo/configmaps/hello-world")
    assert not [name for name in double.names("configmaps") if "revision" in name]


@pytest.mark.parametrize("change", ["cut", "bomb", "elsewhere"])
def test_a_damaged_revision_is_refused(double: Cluster, connection: Connection, change: str) -> None:
    """Whatever stands there now, it is not applied."""
    import base64
    import gzip

    deploy(connection)
    item: dict[str, Any] = double.get("configmaps", "hello-world-revision-1")
    data = base64.b64decode(item["binaryData"]["manifests.json.gz"])
    text = {
        "cut": data[: len(data) // 2],
        "bomb": gzip.compress(b"[" + b" " * 10_000_000 + b"]"),
        "elsewhere": gzip.compress(gzip.decompress(data).replace(b'"demo"', b'"prod"')),
    }[change]
    item["binaryData"]["manifests.json.gz"] = base64.b64encode(text).decode()
    with pytest.raises(DeployError, match="revision 1 of hello-world is damaged"):
        revision.read_manifests(connection, members.find_parent(connection, "hello-world", "demo"), 1)


def test_too_large_to_keep(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is applied all the same, and said."""
    monkeypatch.setattr(revision, "_LARGEST", 10)
    said = deploy(connection)
    assert any(isinstance(event, Warned) and "too large to be kept" in event.text for event in said)
    with pytest.raises(DeployError, match="the current revision of hello-world is not kept"):
        revision.read_manifests(connection, members.find_parent(connection, "hello-world", "demo"))
