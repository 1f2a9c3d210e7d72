"""Services, policies and the Ingress."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamo_build.deploy.kubernetes.objects import network
from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from dynamo_build.errors import DeployError
from support.deployments import deployment, disaggregated_graph, hello_graph


def test_a_service_for_what_listens() -> None:
    """HTTP where there are routes, the system port everywhere."""
    layout = Layout(deployment(hello_graph()))
    frontend = network.build_service(layout, layout.find_workload("Frontend"))
    backend = network.build_service(layout, layout.find_workload("Backend"))
    assert [port["port"] for port in frontend["spec"]["ports"]] == [8000, 9090]
    assert [port["port"] for port in backend["spec"]["ports"]] == [9090]


def test_only_callers_may_call() -> None:
    """The policy's peers are the services with an edge to this one."""
    layout = Layout(deployment(disaggregated_graph()))
    policy = network.network_policy(layout, layout.find_workload("VllmWorker"))
    rule = next(item for item in policy["spec"]["ingress"] if item["ports"][0]["port"] == 9345)
    peers = {peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in rule["from"]}
    assert peers == {"router", "processor"}


def test_anyone_may_call_the_entry() -> None:
    """Its HTTP port is open."""
    layout = Layout(deployment(hello_graph()))
    policy = network.network_policy(layout, layout.find_workload("Frontend"))
    assert policy["spec"]["ingress"][0] == {"ports": [{"protocol": "TCP", "port": 8000}]}


def test_limited_egress_lets_dns_through() -> None:
    """Nothing is found without DNS; a NATS elsewhere is reached by its address."""
    layout = Layout(deployment(hello_graph(), options={"egress": "graph"}))
    rules = network.network_policy(layout, layout.find_workload("Middle"))["spec"]["egress"]
    assert {port["port"] for port in rules[0]["ports"]} == {53}
    assert [rule["ports"][0]["port"] for rule in rules[1:]] == [4222, 9345]
    layout = Layout(deployment(hello_graph(), nats="nats://10.1.2.3:4333", options={"egress": "graph"}))
    rules = network.network_policy(layout, layout.find_workload("Middle"))["spec"]["egress"]
    assert rules[1] == {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 4333}]}
    layout = Layout(deployment(hello_graph(), nats="nats://a,tls://b:4333", options={"egress": "graph"}))
    rules = network.network_policy(layout, layout.find_workload("Middle"))["spec"]["egress"]
    assert [rule["ports"][0]["port"] for rule in rules[1:3]] == [4222, 4333]


def test_an_ingress_where_a_host_is_named() -> None:
    """To the entry, with TLS from the user's Secret."""
    options = {"ingress-host": "a.example", "ingress-tls-secret": "tls", "ingress-class": "nginx"}
    found = network.build_ingress(Layout(deployment(hello_graph(), options=options)))
    assert found is not None
    backend = found["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "hello-world-frontend", "port": {"name": "http"}}
    assert found["spec"]["tls"] == [{"hosts": ["a.example"], "secretName": "tls"}]
    assert network.build_ingress(Layout(deployment(hello_graph()))) is None


def test_an_ingress_needs_http() -> None:
    """An entry without routes cannot have one."""
    made = deployment(hello_graph(), options={"ingress-host": "a.example"})
    silent = replace(made, workloads=tuple(replace(item, http=False) for item in made.workloads))
    with pytest.raises(DeployError, match="has no HTTP routes"):
        network.build_ingress(Layout(silent))
