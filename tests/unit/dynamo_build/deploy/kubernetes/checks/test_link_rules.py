"""Rules over several objects."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.checks.link_rules import link_findings
from support.manifest_faults import good


def test_the_same_object_twice() -> None:
    """The second would overwrite the first."""
    documents = good()
    found = list(link_findings([*documents, documents[0]], ()))
    assert any("second object" in finding.message for finding in found)


def test_a_stateful_set_needs_its_service() -> None:
    """Without the headless Service its pods have no names."""
    documents = [item for item in good() if (item["kind"], item["metadata"]["name"]) != ("Service", "llm-nats")]
    assert any(finding.path == "spec.serviceName" for finding in link_findings(documents, ()))


def test_an_ingress_port_that_the_service_has_not() -> None:
    """By name or by number."""
    documents = good()
    ingress = next(item for item in documents if item["kind"] == "Ingress")
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"number": 1}
    assert any("has no such port" in finding.message for finding in link_findings(documents, ()))
