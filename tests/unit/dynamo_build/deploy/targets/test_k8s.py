"""The target `k8s`: golden manifests, and how it reads and renders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.deploy.cluster.strict_check import check_documents
from dynamo_build.deploy.kubernetes.objects.manifest_files import render_manifests
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.model.deployment import Deployment
from dynamo_build.seams import Surroundings
from support.deployments import (
    IMAGE,
    aggregated_graph,
    bento,
    deployment,
    disaggregated_graph,
    hello_graph,
    multi_node_graph,
)

GOLDEN = Path(__file__).parents[4] / "golden" / "k8s"
NATS = "registry.example.com/nats@sha256:" + "fedcba9876543210" * 4
EVERYTHING: dict[str, Any] = {
    "architecture": "amd64",
    "autoscaling": {"Processor": {"minimum": 2, "maximum": 6}},
    "create_namespace": True,
    "egress": "graph",
    "image_pull_secrets": ["registry"],
    "ingress_class": "nginx",
    "ingress_host": "llm.example.com",
    "ingress_tls_secret": "llm-tls",
    "metrics_namespace": "monitoring",
    "model_cache_size": "200Gi",
    "nats_image": NATS,
    "node_selector": {"nvidia.com/gpu.product": "H100"},
    "pod_monitor": True,
    "priority_class": "inference",
    "runtime_class": "nvidia",
    "storage_class": "fast",
}
CASES: dict[str, Deployment] = {
    "hello_world": deployment(hello_graph(), options={"nats_image": NATS}),
    "disaggregated": deployment(
        disaggregated_graph(),
        name="llm",
        bento="llm:1234e56",
        options={"nats_image": NATS, "model_cache": "models"},
        config={"VllmWorker": {"model": "example/model", "max-model-len": 16384}, "Common": {"block-size": 64}},
    ),
    "aggregated": deployment(
        aggregated_graph(),
        name="llm",
        bento="llm:1234e56",
        options={"nats_image": NATS, "model_cache_size": "100Gi", "ingress_host": "llm.example.com"},
    ),
    "multi_node": deployment(
        multi_node_graph(),
        name="large",
        bento="large:1e3",
        options={
            "nats_image": NATS,
            "autoscaling": {
                "Frontend": {
                    "minimum": 0,
                    "maximum": 4,
                    "query": "sum(busy)",
                    "threshold": "2",
                    "prometheus": "http://prometheus:9090",
                }
            },
            "egress": "graph",
            "environment": "production",
            "gateway": "edge/public",
            "ingress_host": "llm.example.com",
        },
    ),
    "everything": deployment(
        disaggregated_graph(), name="llm", bento="llm:08", options=EVERYTHING, workload={"environment": {"LEVEL": "y"}}
    ),
}


def text(name: str) -> str:
    return render_manifests(KubernetesTarget(Surroundings()).render(CASES[name]), "yaml")


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    """Byte for byte. To accept a change on purpose, remove the file and run the test twice."""
    path = GOLDEN / f"{name}.yaml"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(name), encoding="utf-8")
        pytest.fail(f"wrote {path.name}: look at it, and run again")
    assert text(name) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_the_check_has_no_findings(name: str) -> None:
    """Errors none; warnings only of what is said to be on the cluster already."""
    manifests = KubernetesTarget(Surroundings()).render(CASES[name])
    found = check_documents([item.document for item in manifests.items], "demo")
    assert [str(finding) for finding in found if not finding.warning] == []
    assert all("must be there already" in finding.message for finding in found)


@pytest.mark.parametrize("name", CASES)
def test_kubectl_reads_what_we_wrote(name: str, tmp_path: Path) -> None:
    """As `kubectl apply` reads it, offline: the same objects."""
    path = tmp_path / "out.yaml"
    path.write_text(text(name), encoding="utf-8")
    command = [
        str(Path(sys.executable).parent / "kubectl"),
        "label",
        "--local",
        "-f",
        str(path),
        "probe=1",
        "-o",
        "json",
    ]
    read = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(read.rstrip()):
        document, position = decoder.raw_decode(read, position)
        found += document["items"] if document["kind"] == "List" else [document]
        position += len(read[position:]) - len(read[position:].lstrip())
    for document in found:
        del document["metadata"]["labels"]["probe"]
        if not document["metadata"]["labels"]:
            del document["metadata"]["labels"]
    assert found == [item.document for item in KubernetesTarget(Surroundings()).render(CASES[name]).items]


def test_rendering_needs_no_client() -> None:
    """Neither the client nor pydantic is loaded to render: they take most of a second."""
    code = (
        "import sys\n"
        "from support.deployments import deployment, hello_graph\n"
        "from dynamo_build.deploy.targets.k8s import KubernetesTarget\n"
        "from dynamo_build.deploy.kubernetes.objects.manifest_files import render_manifests\n"
        "from dynamo_build.deploy.kubernetes.checks.rules import collect_findings\n"
        "from dynamo_build.seams import Surroundings\n"
        "made = KubernetesTarget(Surroundings()).render(deployment(hello_graph()))\n"
        "collect_findings([item.document for item in made.items], 'demo')\n"
        "render_manifests(made, 'yaml')\n"
        "print([name for name in ('kubernetes', 'pydantic', 'yaml', 'jinja2') if name in sys.modules])\n"
    )
    tests = str(Path(__file__).parents[4])
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": tests, "PATH": ""}
    )
    assert found.stdout.strip() == "[]"


def test_names_of_any_length_and_case_are_valid() -> None:
    """Seventy characters, upper case, digits first, and pairs that differ in case only."""
    from dataclasses import replace

    base = hello_graph().services[0]
    names = ["A" * 70, "a" * 70, "Worker", "worker", "Nats", "_x", "X" + "9" * 69]
    graph = ServiceGraph(target="a:b", entry=names[0], services=tuple(replace(base, name=name) for name in names))
    made = deployment(graph, name="9" + "Z_" * 40, bento=f"{'b' * 64}:1234e56")
    manifests = KubernetesTarget(Surroundings()).render(made)
    found = check_documents([item.document for item in manifests.items], "demo", {("Secret", f"{made.name}-transport")})
    assert [str(finding) for finding in found if not finding.warning] == []
    identities = [(item.document["kind"], item.document["metadata"]["name"]) for item in manifests.items]
    assert len(set(identities)) == len(identities)
    assert IMAGE and bento(graph).tag
