"""Fields that not every supported version of Kubernetes has."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dynamo_build.deploy.kubernetes.checks.version_rules import parse_minor_version, version_findings
from dynamo_build.errors import UsageError
from support.manifest_faults import good


def worker(field: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(next(item for item in good() if item["kind"] == "Deployment"))
    *parents, last = field.split(".")
    node: Any = document["spec"]["template"]["spec"]
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    node[last] = value
    return document


def test_ours_fits_all_of_them() -> None:
    """Nothing that we emit is too new for the oldest or too old for the newest."""
    assert [finding for document in good() for finding in version_findings(document)] == []
    assert [
        finding for document in good() for version in (30, 37) for finding in version_findings(document, version)
    ] == []


@pytest.mark.parametrize(
    ("field", "value", "came"),
    [
        ("resources", {"limits": {"cpu": "1"}}, 32),
        ("containers.0.lifecycle.stopSignal", "SIGINT", 33),
        ("containers.0.startupProbe.httpGet.protocol", "HTTP2", 37),
        ("securityContext.supplementalGroupsPolicy", "Strict", 31),
    ],
)
def test_a_field_that_came_later(field: str, value: Any, came: int) -> None:
    """A warning while the cluster is not known, an error for one that is older, nothing for one that has it."""
    document = worker(field, value)
    (found,) = version_findings(document)
    assert found.warning and f"came with Kubernetes 1.{came}" in found.message
    (found,) = version_findings(document, came - 1)
    assert not found.warning and found.path.startswith("spec.template.spec.")
    assert list(version_findings(document, came)) == []


def test_a_field_that_went() -> None:
    """Of no use on the newest."""
    document = worker("workloadRef", {"name": "a"})
    assert "went with Kubernetes 1.36" in next(iter(version_findings(document, 37))).message
    assert list(version_findings(document, 35)) == []


def test_autoscalers() -> None:
    """Their own fields, too."""
    document = {"kind": "HorizontalPodAutoscaler", "spec": {"behavior": {"scaleUp": {"tolerance": "5m"}}}}
    assert "came with Kubernetes 1.33" in next(iter(version_findings(document))).message


@pytest.mark.parametrize("text", ["1.29", "1.38", "2.1", "latest", "1", "1.3x"])
def test_versions_that_are_not_supported(text: str) -> None:
    """Said with those that are."""
    with pytest.raises(UsageError, match="not a supported version"):
        parse_minor_version(text)
    assert [parse_minor_version(known) for known in ("", "1.30", "v1.37.2")] == [0, 30, 37]
