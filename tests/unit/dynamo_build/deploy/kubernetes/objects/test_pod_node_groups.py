"""Services whose one replica needs several nodes, and overrides per environment."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_build.deploy.cluster.strict_check import check_documents
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from support.deployments import deployment, multi_node_graph


def made(**options: Any) -> dict[str, dict[str, Any]]:
    found = build_objects(deployment(multi_node_graph(), name="large", options=options))
    return {f"{item.document['kind']}/{item.document['metadata']['name']}": dict(item.document) for item in found}


def test_a_group_shares_the_gpus_evenly() -> None:
    """Two nodes of eight; only the leader is reached; the group may speak with itself."""
    found = made(egress="graph")
    group = found["LeaderWorkerSet/large-worker"]["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 2
    for role in ("leader", "worker"):
        (container,) = group[f"{role}Template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
        assert group[f"{role}Template"]["metadata"]["labels"]["dynamo/role"] == role
    assert found["Service/large-worker"]["spec"]["selector"]["dynamo/role"] == "leader"
    rules = found["NetworkPolicy/large-worker"]["spec"]
    own = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "worker", "app.kubernetes.io/instance": "large"}}}
    assert {"from": [own]} in rules["ingress"] and {"to": [own]} in rules["egress"]
    assert "Deployment/large-worker" not in found
    assert [str(item) for item in check_documents(list(found.values()), "demo") if not item.warning] == []


def test_nodes_with_more_gpus() -> None:
    """Then one is enough; a number that cannot be shared is refused."""
    assert "Deployment/large-worker" in made(gpus_per_node=16)
    with pytest.raises(DeployError, match="16 GPUs, which 3 nodes of 6 cannot share evenly"):
        made(gpus_per_node=6)
    with pytest.raises(DeployError, match="gpus_per_node is 0"):
        made(gpus_per_node=0)


def test_overrides_of_an_environment() -> None:
    """On top of those for all; only in the environment that is chosen."""

    def seen(**options: Any) -> tuple[int, str, str]:
        spec = made(**options)["LeaderWorkerSet/large-worker"]["spec"]
        pod = spec["leaderWorkerTemplate"]["workerTemplate"]["spec"]
        environment = {item["name"]: item.get("value", "") for item in pod["containers"][0]["env"]}
        return spec["replicas"], pod.get("priorityClassName", ""), environment["NCCL_DEBUG"]

    assert seen() == (1, "", "WARN")
    assert seen(environment="production") == (2, "high", "WARN")
    assert seen(environment="staging") == (1, "", "INFO")
    with pytest.raises(DeployError, match="environments is not a map of maps"):
        made(overrides={"Worker": {"environments": {"production": 1}}})
