"""Rules over one object."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_build.deploy.kubernetes.checks.object_rules import API_VERSIONS, object_findings
from support.manifest_faults import good


def paths(document: dict[str, Any]) -> set[str]:
    return {finding.path for finding in object_findings(document, "demo")}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "kind"),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1_"}}, "metadata.name"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "é"}}, "data.k"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {True: "x"}}, "data.True"),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": -1}},
            "spec.replicas",
        ),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": {"a b": "c"}}}, "metadata.labels"),
        ({"apiVersion": "v1", "kind": "Service", "metadata": "x", "spec": []}, "metadata.name"),
    ],
)
def test_faults_are_named_by_their_path(document: dict[str, Any], path: str) -> None:
    """Also in documents that are hardly objects at all."""
    assert path in paths(document)


def test_our_kinds_are_known() -> None:
    """Each core kind that we write has its API version in the table."""
    kinds = {item["kind"]: item["apiVersion"] for item in good()}
    assert kinds.items() <= API_VERSIONS.items()
