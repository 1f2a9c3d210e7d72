"""`--check`: every fault of the table, before a request is sent."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.cluster.strict_check import check_documents
from support.manifest_faults import FAULTS, Fault, broken, good, resolved


def test_the_control() -> None:
    """No false alarm."""
    assert check_documents(good(), "demo") == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_caught(fault: Fault) -> None:
    """All of them; what a server refuses is an error, not a warning."""
    found = check_documents(broken(resolved(fault))[0], "demo")
    assert found
    if fault.apply >= 400:
        assert not all(finding.warning for finding in found)


def test_a_field_is_named_once() -> None:
    """Where the schema and our rules see the same, the schema speaks."""
    fault = next(fault for fault in FAULTS if fault.name == "port as a string")
    found = check_documents(broken(fault)[0], "demo")
    assert len({(finding.where, finding.path) for finding in found}) == len(found)
