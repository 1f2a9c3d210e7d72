"""Rules over pods."""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.checks.pod_rules import pod_findings


def deployed(**container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": spec}},
    }


def test_a_tag_is_a_warning() -> None:
    """An image by tag may come to mean another; by digest it cannot."""
    found = [item for item in pod_findings(deployed(image="nats:2")) if item.path.endswith(".image")]
    assert [item.warning for item in found] == [True]
    assert not [item for item in pod_findings(deployed(image="nats@sha256:1")) if item.path.endswith(".image")]


def test_pod_security_is_a_warning() -> None:
    """A server accepts it and warns; so do we."""
    found = list(pod_findings(deployed(image="a@b", securityContext={"privileged": True})))
    assert found and all(item.warning for item in found)


def test_a_probe_of_a_port_that_is_not_there() -> None:
    """The kubelet would never find it."""
    probe = {"httpGet": {"path": "/", "port": "http"}}
    assert any("no port" in item.message for item in pod_findings(deployed(image="a@b", livenessProbe=probe)))


def test_other_kinds_have_no_pod() -> None:
    """Nothing to say about a Service."""
    assert list(pod_findings({"kind": "Service", "metadata": {"name": "a"}})) == []


def test_limits_without_requests_of_devices() -> None:
    """A device in requests alone is refused by every server."""
    found = pod_findings(deployed(image="a@b", resources={"requests": {"nvidia.com/gpu": "1"}}))
    assert any("a limit must be set" in item.message for item in found)
