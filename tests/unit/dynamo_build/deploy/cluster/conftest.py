"""A double of the API server for each test, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from support.cluster import Cluster, cluster


@pytest.fixture
def double() -> Iterator[Cluster]:
    """An API server's double."""
    with cluster() as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    """The pauses that the connection made."""
    return []


@pytest.fixture
def connection(double: Cluster, tmp_path: Path, slept: list[float]) -> Connection:
    """A connection that notes its pauses and makes none."""
    return Connection(kubeconfig=str(double.kubeconfig(tmp_path)), timeout=2, sleep=slept.append)
