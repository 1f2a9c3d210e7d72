"""What an API server answers to each fault: the statuses that a real one gave."""

from __future__ import annotations

from typing import Any

import pytest

from support.manifest_faults import FAULTS, Fault, broken, good, resolved

DRY = {"dryRun": "All"}


def moved(document: dict[str, Any], namespace: str, fault: Fault | None = None) -> dict[str, Any]:
    if fault is None or fault.path != "metadata/namespace":
        document["metadata"]["namespace"] = namespace
    return document


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_apply(server: Any, fault: Fault) -> None:
    """Server-side apply: 500 for a mistake of form, 422 with causes for one of content."""
    _, document = broken(resolved(fault))
    answer = server.apply(moved(document, server.namespace, fault), **DRY)
    assert answer.status == fault.apply, answer.message
    assert answer.is_manifest_mistake == (fault.apply == 500)
    if fault.apply == 422 and fault.cause:
        assert fault.cause in {cause.partition(": ")[0] for cause in answer.causes}
    assert bool(answer.warnings) == fault.warns


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_create(server: Any, fault: Fault) -> None:
    """A POST with strict validation."""
    _, document = broken(resolved(fault))
    answer = server.create(moved(document, server.namespace, fault), **DRY)
    assert answer.status == fault.create, answer.message


def test_the_control(server: Any) -> None:
    """Without a fault everything is accepted, without a warning."""
    for document in good():
        answer = server.apply(moved(document, server.namespace), **DRY)
        assert (answer.status, answer.warnings) == (201, ()), answer.message
        assert server.get(document) is None
