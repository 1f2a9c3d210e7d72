"""Requests with patience, and failures in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.errors import DeployError
from support.cluster import Cluster

PATH = "/api/v1/namespaces/demo/configmaps"


def test_temporary_failures_are_asked_again(double: Cluster, connection: Connection, slept: list[float]) -> None:
    """503 and 500 with growing pauses, 429 as the server says."""
    double.fail("GET", "configmaps", 503)
    double.fail("GET", "configmaps", 429, headers={"Retry-After": "7"})
    assert connection.request("GET", PATH).status == 200
    assert slept == [0.5, 7.0]


def test_a_typo_is_not_asked_again(double: Cluster, connection: Connection, slept: list[float]) -> None:
    """A 500 that tells of the manifest comes back at once."""
    double.fail("PATCH", "configmaps", 500, times=9, body={"message": "failed to create typed patch object (a): .b"})
    assert connection.request("PATCH", f"{PATH}/a", body={}).status == 500
    assert slept == []


def test_patience_ends(double: Cluster, connection: Connection, slept: list[float]) -> None:
    """After some attempts the answer is what it is."""
    double.fail("GET", "configmaps", 503, times=99)
    assert connection.request("GET", PATH).status == 503
    assert len(slept) == 4


def test_a_cut_connection_is_tried_again(double: Cluster, connection: Connection) -> None:
    """For requests that may be repeated."""
    double.fail("PATCH", "configmaps", 0)
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    query = {"fieldManager": "x"}
    answer = connection.request("PATCH", f"{PATH}/a", query=query, body=document, kind="application/apply-patch+yaml")
    assert answer.status == 201


def test_a_hanging_server_is_given_up(double: Cluster, tmp_path: Path) -> None:
    """Each request has a time limit."""
    double.fail("GET", "configmaps", 200, times=99, hang=2)
    hasty = Connection(kubeconfig=str(double.kubeconfig(tmp_path)), timeout=0.05, sleep=lambda seconds: None)
    with pytest.raises(DeployError, match="no answer from the cluster"):
        hasty.get(PATH)


def test_no_server(tmp_path: Path, double: Cluster) -> None:
    """One line with the address."""
    kubeconfig = double.kubeconfig(tmp_path)
    kubeconfig.write_text(kubeconfig.read_text().replace(double.address, "http://127.0.0.1:9"))
    with pytest.raises(DeployError, match=r"no answer from the cluster at http://127\.0\.0\.1:9"):
        Connection(kubeconfig=str(kubeconfig), sleep=lambda seconds: None).get(PATH)


@pytest.mark.parametrize("content", ["", "apiVersion: v1\nkind: Config\n", "[1", "a: &a [*a"])
def test_no_kubeconfig(tmp_path: Path, content: str) -> None:
    """Empty and broken files are one line, too."""
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(DeployError):
        Connection(kubeconfig=str(path))


def test_an_unknown_context(double: Cluster, tmp_path: Path) -> None:
    """Named in the message."""
    with pytest.raises(DeployError, match="elsewhere"):
        Connection(kubeconfig=str(double.kubeconfig(tmp_path)), context="elsewhere")


def test_pages_are_followed(double: Cluster, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list comes in pages."""
    for number in range(7):
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}}
        double.store.create(("configmaps", "demo", f"c{number}"), document, "x", False)
    monkeypatch.setattr("dynamo_build.deploy.cluster.api_client.PAGE", "3")
    assert len(list(connection.list_items(PATH))) == 7


def test_not_known_here(double: Cluster, tmp_path: Path) -> None:
    """A refused token is one line."""
    stranger = Connection(kubeconfig=str(double.kubeconfig(tmp_path, token="wrong")))
    with pytest.raises(DeployError, match="does not know you"):
        stranger.get(PATH)
