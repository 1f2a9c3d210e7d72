"""Deployments made by hand: hello world, and a disaggregated graph with GPUs."""

from __future__ import annotations

from typing import Any

from dynamo.sdk.graph import Edge, EndpointSpec, Resources, ServiceGraph, ServiceSpec
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.deployment import Deployment, Workload
from dynamo_build.model.plan import Lock

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example.com/team/hello@{DIGEST}"


def _service(name: str, *calls: str, http: bool = False, **fields: Any) -> ServiceSpec:
    endpoints = (EndpointSpec(name="generate", method="generate", transport="http" if http else "dynamo"),)
    edges = tuple(Edge(attribute=call.lower(), service=call) for call in calls)
    return ServiceSpec(name=name, module="graph", qualname=name, endpoints=endpoints, edges=edges, **fields)


def hello_graph() -> ServiceGraph:
    return ServiceGraph(
        target="hello_world:Frontend",
        entry="Frontend",
        services=(
            _service("Backend", namespace="inference", resources=Resources(cpu="1", memory="500Mi")),
            _service("Middle", "Backend", namespace="inference"),
            _service("Frontend", "Middle", http=True, dynamo=False, namespace="inference"),
        ),
    )


def aggregated_graph() -> ServiceGraph:
    return ServiceGraph(
        target="graphs.agg:Frontend",
        entry="Frontend",
        services=(
            _service("VllmWorker", resources=Resources(cpu="10", memory="40Gi", gpu="1"), namespace="dynamo"),
            _service("Processor", "VllmWorker", namespace="dynamo"),
            _service("Frontend", "Processor", http=True, component_type="frontend", namespace="dynamo"),
        ),
    )


def multi_node_graph() -> ServiceGraph:
    large = Resources(cpu="64", memory="800Gi", gpu="16")
    overrides = {
        "container": {"env": [{"name": "NCCL_DEBUG", "value": "WARN"}]},
        "environments": {
            "production": {"LeaderWorkerSet": {"spec": {"replicas": 2}}, "pod": {"priorityClassName": "high"}},
            "staging": {"container": {"env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}},
        },
    }
    return ServiceGraph(
        target="graphs.large:Frontend",
        entry="Frontend",
        services=(
            _service("Worker", workers=1, resources=large, namespace="dynamo", kubernetes_overrides=overrides),
            _service("Frontend", "Worker", http=True, component_type="frontend", namespace="dynamo"),
        ),
    )


def disaggregated_graph() -> ServiceGraph:
    gpu = Resources(cpu="10", memory="40Gi", gpu="2")
    return ServiceGraph(
        target="graphs.disagg_router:Frontend",
        entry="Frontend",
        services=(
            _service("PrefillWorker", component_type="prefill", workers=2, resources=gpu, namespace="dynamo"),
            _service("VllmWorker", "PrefillWorker", component_type="decode", resources=gpu, namespace="dynamo"),
            _service("Router", "VllmWorker", namespace="dynamo"),
            _service("Processor", "VllmWorker", "Router", workers=3, namespace="dynamo"),
            _service("Frontend", "Processor", http=True, component_type="frontend", namespace="dynamo"),
        ),
    )


def bento(graph: ServiceGraph, name: str = "hello_world", version: str = "1234e56", **fields: Any) -> Bento:
    manifest = BentoManifest(
        name=name,
        version=version,
        graph=graph,
        python="3.11",
        platforms=("linux/amd64",),
        files_digest=DIGEST,
        files_count=1,
        files_size=1,
        lock=Lock(python="3.11"),
        runtime="dynamo_runtime-0.1.0-py3-none-any.whl",
        runtime_digest=DIGEST,
        **fields,
    )
    return Bento(manifest=manifest, folder="/nowhere")


def deployment(
    graph: ServiceGraph, name: str = "hello-world", bento: str = "hello_world:1234e56", **fields: Any
) -> Deployment:
    """As `place` would make it, without a bento."""
    changes = fields.pop("workload", {})
    return Deployment(
        name=name,
        namespace=fields.pop("namespace", "demo"),
        bento=bento,
        target=fields.pop("target", "k8s"),
        entry=graph.entry,
        workloads=tuple(
            Workload(
                service=service.name,
                image=IMAGE,
                namespace=service.namespace,
                dynamo=service.dynamo,
                http=service.http,
                entry=service.name == graph.entry,
                replicas=service.workers,
                resources=service.resources,
                calls=tuple(edge.service for edge in service.edges),
                component_type=service.component_type,
                startup=1800 if service.resources.gpu != "0" else 300,
                overrides=service.kubernetes_overrides,
                **changes,
            )
            for service in graph.services
        ),
        **fields,
    )
