"""The transport token's Secret."""

from __future__ import annotations

import base64

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.applyset import ensure_token
from dynamo_build.errors import DeployError
from support.cluster import Cluster


def test_made_once(double: Cluster, connection: Connection) -> None:
    """Random and long; the second call leaves it."""
    assert ensure_token(connection, "demo", "a", "g") is True
    first = double.get("secrets", "a")["data"]["token"]
    assert len(base64.b64decode(first)) == 64
    assert ensure_token(connection, "demo", "a", "g") is False
    assert double.get("secrets", "a")["data"]["token"] == first


def test_somebody_was_faster(double: Cluster, connection: Connection) -> None:
    """A 409 between the look and the write is as good."""
    double.fail("POST", "secrets", 409, body={"reason": "AlreadyExists"})
    assert ensure_token(connection, "demo", "a", "g") is False


def test_not_allowed(double: Cluster, connection: Connection) -> None:
    """A refusal is told."""
    double.fail("POST", "secrets", 403, body={"message": "secrets is forbidden"})
    with pytest.raises(DeployError, match="secrets is forbidden"):
        ensure_token(connection, "demo", "a", "g")
