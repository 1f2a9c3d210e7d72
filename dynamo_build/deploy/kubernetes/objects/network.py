"""Network objects of a service: Services, the NetworkPolicy of the graph's edges, Ingress.

Source: Kubernetes "Network Policies"; a policy that limits egress must let DNS through.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from dynamo_build.deploy.kubernetes.objects.object_layout import (
    HTTP_PORT,
    NATS,
    NATS_PORT,
    RPC_PORT,
    SYSTEM_PORT,
    Layout,
)
from dynamo_build.deploy.kubernetes.objects.pod import ROLE, count_nodes
from dynamo_build.errors import DeployError
from dynamo_build.model.broker import parse_brokers
from dynamo_build.model.deployment import Workload

_DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def build_service(layout: Layout, workload: Workload) -> dict[str, Any]:
    """A Service for what listens: HTTP where the service has routes, and the system port."""
    ports = [{"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"}] if workload.http else []
    leaders = {ROLE: "leader"} if count_nodes(layout, workload) > 1 else {}
    ports.append({"name": "system", "port": SYSTEM_PORT, "targetPort": "system", "protocol": "TCP"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": layout.build_metadata(layout.build_name(workload.service), layout.workload_labels(workload)),
        "spec": {
            "type": "ClusterIP",
            "selector": {**layout.build_selector(layout.get_component(workload.service)), **leaders},
            "ports": ports,
        },
    }


def network_policy(layout: Layout, workload: Workload) -> dict[str, Any]:
    """Who may call a service: its callers in the graph, anyone for the entry's HTTP, and whoever reads metrics."""
    callers = [other for other in layout.deployment.workloads if workload.service in other.calls]
    ingress: list[dict[str, Any]] = []
    if workload.http:
        anyone: dict[str, Any] = {} if workload.entry else {"from": [_select_pods(layout)]}
        ingress.append({**anyone, "ports": [_build_tcp_port(HTTP_PORT)]})
    if workload.dynamo and callers:
        ingress.append(
            {"from": [_select_pods(layout, caller.service) for caller in callers], "ports": [_build_tcp_port(RPC_PORT)]}
        )
    ingress.append({"from": [_select_metrics(layout)], "ports": [_build_tcp_port(SYSTEM_PORT)]})
    together = count_nodes(layout, workload) > 1
    if together:  # the pods of a group choose their ports themselves
        ingress.append({"from": [_select_pods(layout, workload.service)]})
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": layout.build_selector(layout.get_component(workload.service))},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    if layout.options.egress == "graph":
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = _build_egress(layout, workload) + (
            [{"to": [_select_pods(layout, workload.service)]}] if together else []
        )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": layout.build_metadata(layout.build_name(workload.service), layout.workload_labels(workload)),
        "spec": spec,
    }


def nats_policy(layout: Layout) -> dict[str, Any]:
    """Only the graph's own pods may speak to its NATS."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": layout.build_metadata(layout.nats_name, layout.build_labels(NATS, NATS)),
        "spec": {
            "podSelector": {"matchLabels": layout.build_selector(NATS)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [_select_pods(layout)], "ports": [_build_tcp_port(NATS_PORT)]}],
        },
    }


def build_ingress(layout: Layout) -> dict[str, Any] | None:
    """An Ingress to the entry service, where the options name a host; an HTTPRoute, where they name a gateway."""
    options = layout.options
    if not (options.ingress_host or options.gateway):
        return None
    entry = layout.find_workload(layout.deployment.entry)
    if not entry.http:
        asked = "gateway" if options.gateway else "ingress_host"
        raise DeployError(
            f"{asked} is set, but the entry service {entry.service} has no HTTP routes",
            [f"Give it an `@api` method, or leave {asked} out."],
        )
    if options.gateway:
        return _build_route(layout, entry)
    backend = {"service": {"name": layout.build_name(entry.service), "port": {"name": "http"}}}
    rule = {
        "host": options.ingress_host,
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    spec: dict[str, Any] = {"ingressClassName": options.ingress_class} if options.ingress_class else {}
    if options.ingress_tls_secret:
        spec["tls"] = [{"hosts": [options.ingress_host], "secretName": options.ingress_tls_secret}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": layout.build_metadata(layout.build_name(entry.service), layout.workload_labels(entry)),
        "spec": {**spec, "rules": [rule]},
    }


def _build_route(layout: Layout, entry: Workload) -> dict[str, Any]:
    """Source: Gateway API v1, HTTPRoute."""
    options = layout.options
    namespace, _, name = options.gateway.rpartition("/")
    if options.ingress_class or options.ingress_tls_secret:
        hint = "A gateway has its own class and certificates: leave these options out."
        raise DeployError("gateway excludes ingress_class and ingress_tls_secret", [hint])
    parent = {"name": name, **({"namespace": namespace} if namespace else {})}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": layout.build_name(entry.service), "port": HTTP_PORT}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": layout.build_metadata(layout.build_name(entry.service), layout.workload_labels(entry)),
        "spec": {
            "parentRefs": [parent],
            **({"hostnames": [options.ingress_host]} if options.ingress_host else {}),
            "rules": [rule],
        },
    }


def _build_tcp_port(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}


def _select_pods(layout: Layout, service: str = "") -> dict[str, Any]:
    component = layout.get_component(service) if service else ""
    return {"podSelector": {"matchLabels": layout.build_selector(component)}}


def _select_metrics(layout: Layout) -> dict[str, Any]:
    if not layout.options.metrics_namespace:
        return {"podSelector": {}}
    labels = {"kubernetes.io/metadata.name": layout.options.metrics_namespace}
    return {"namespaceSelector": {"matchLabels": labels}}


def _build_egress(layout: Layout, workload: Workload) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = [_DNS]
    if layout.deployment.nats:
        rules += [
            {**_build_host_peer(each.host), "ports": [_build_tcp_port(each.port)]}
            for each in parse_brokers(layout.deployment.nats)
        ]
    else:
        nats = {"podSelector": {"matchLabels": layout.build_selector(NATS)}}
        rules.append({"to": [nats], "ports": [_build_tcp_port(NATS_PORT)]})
    called = [layout.find_workload(name) for name in workload.calls]
    if reached := [_select_pods(layout, other.service) for other in called if other.dynamo]:
        rules.append({"to": reached, "ports": [_build_tcp_port(RPC_PORT)]})
    return rules


def _build_host_peer(host: str) -> dict[str, Any]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return {}  # a policy knows addresses only: for a name the port is all that can be said
    return {"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}]}
