"""Reading documents that may have any shape."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.checks import finding
from dynamo_build.model.deployment import Finding


def test_any_shape_can_be_read() -> None:
    """Wrong shapes read as empty, never as an exception."""
    for document in ({}, {"spec": []}, {"metadata": 3}, {"kind": "Deployment", "spec": {"template": "x"}}):
        assert finding.pod_of(document) == {}
        assert finding.name_of(document) == ""
        assert list(finding.containers(document)) == []


def test_a_finding_is_one_line() -> None:
    """Object, field, message."""
    made = Finding(where="Service/a", path="spec.selector", message="selects nothing")
    assert str(made) == "Service/a: spec.selector: selects nothing"
