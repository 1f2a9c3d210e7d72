"""All rules over manifests: every known fault is found offline, and good manifests are left alone."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.kubernetes.checks.rules import collect_findings
from support.manifest_faults import FAULTS, Fault, broken, good, resolved

#: Only the API's schema sees these.
SCHEMA = {"misspelt field of a container", "misspelt field of a pod", "replicas as a word"}


def test_good_manifests_have_no_findings() -> None:
    """No false alarm on a graph with everything on."""
    assert collect_findings(good(), "demo") == ()


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name not in SCHEMA], ids=lambda fault: fault.name)
def test_every_fault_is_found(fault: Fault) -> None:
    """By rules alone, and the finding names the object."""
    documents, document = broken(resolved(fault))
    found = collect_findings(documents, "demo")
    assert any(finding.where == f"{document['kind']}/{document['metadata']['name']}" for finding in found), found


def test_errors_come_first() -> None:
    """What stops the work stands before what may be right."""
    documents, _ = broken(next(fault for fault in FAULTS if fault.name == "PriorityClass absent"))
    documents[0]["apiVersion"] = "v9"
    found = collect_findings(documents, "demo")
    assert [finding.warning for finding in found] == sorted(finding.warning for finding in found)


def test_objects_made_elsewhere_may_be_referred_to() -> None:
    """A Secret that `--apply` makes is no finding."""
    documents = [item for item in good() if item["kind"] != "Secret"]
    assert collect_findings(documents, "demo")
    assert collect_findings(documents, "demo", {("Secret", "llm-transport")}) == ()
