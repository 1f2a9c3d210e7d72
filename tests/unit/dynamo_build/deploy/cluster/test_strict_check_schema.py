"""The strict models."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.cluster.strict_check import schema_findings
from support.manifest_faults import FAULTS, broken, good


def test_good_manifests_fit() -> None:
    """Everything that we write."""
    assert [finding for document in good() for finding in schema_findings(document)] == []


@pytest.mark.parametrize("name", ["misspelt field of a container", "misspelt field of a pod", "replicas as a word"])
def test_typos_and_types(name: str) -> None:
    """With the path of the field."""
    _, document = broken(next(fault for fault in FAULTS if fault.name == name))
    (finding,) = schema_findings(document)
    assert finding.path.startswith("spec.")


def test_kinds_of_others_are_left_alone() -> None:
    """A custom resource has no model here."""
    assert schema_findings({"apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment"}) == ()
