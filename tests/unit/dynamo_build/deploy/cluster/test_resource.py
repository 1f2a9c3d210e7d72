"""Where objects live."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.resource import Resources
from dynamo_build.errors import DeployError
from support.cluster import Cluster


def test_paths(connection: Connection) -> None:
    """Core kinds below /api, others below /apis, a Namespace by itself."""
    resources = Resources(connection)
    assert resources.resolve_kind("v1", "Secret").build_path("a", "b") == "/api/v1/namespaces/b/secrets/a"
    assert (
        resources.resolve_kind("apps/v1", "Deployment").build_collection_path("b")
        == "/apis/apps/v1/namespaces/b/deployments"
    )
    assert resources.resolve_kind("v1", "Namespace").build_path("a", "b") == "/api/v1/namespaces/a"


def test_usual_kinds_ask_nothing(double: Cluster, connection: Connection) -> None:
    """Discovery is for what is unusual, and once."""
    resources = Resources(connection)
    resources.resolve_kind("v1", "Secret")
    assert double.requests == []
    assert resources.resolve_kind("rbac.authorization.k8s.io/v1", "Role").plural == "roles"
    resources.resolve_kind("rbac.authorization.k8s.io/v1", "RoleBinding")
    assert len(double.requests) == 1


def test_a_kind_that_is_not_served(connection: Connection) -> None:
    """One line with the kind and its group."""
    with pytest.raises(DeployError, match=r"does not serve DynamoGraphDeployment in nvidia\.com/v1beta1"):
        Resources(connection).resolve_kind("nvidia.com/v1beta1", "DynamoGraphDeployment")
