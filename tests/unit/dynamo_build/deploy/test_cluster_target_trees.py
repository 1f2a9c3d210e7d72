"""Kustomize trees and Helm charts: the same objects as the plain form."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamo_build.deploy.kubernetes.objects.manifest_files import write_files
from dynamo_build.deploy.targets.compose import ComposeTarget
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import Deployment
from dynamo_build.pipeline import deploy
from dynamo_build.seams import Surroundings
from support.deployments import aggregated_graph, deployment, disaggregated_graph, hello_graph, multi_node_graph
from unit.dynamo_build.deploy.targets import chart

EVERYTHING = {
    "architecture": "amd64",
    "autoscaling": {"Processor": {"minimum": 2, "maximum": 6}},
    "create_namespace": True,
    "ingress_host": "llm.example.com",
    "ingress_tls_secret": "llm-tls",
    "model_cache_size": "200Gi",
    "pod_monitor": True,
}
CASES: dict[str, Deployment] = {
    "hello": deployment(hello_graph(), config={"A": {"text": '{{ .Values }} {{{ "x" }} y: 1e3'}}),
    "aggregated": deployment(aggregated_graph(), name="llm", bento="llm:08"),
    "disaggregated": deployment(
        disaggregated_graph(), name="llm", workload={"environment": {"LEVEL": "y", "A": "1e3"}}
    ),
    "multi_node": deployment(
        multi_node_graph(), name="large", options={"gateway": "edge/public", "ingress_host": "a.example.com"}
    ),
    "everything": deployment(disaggregated_graph(), name="llm", options=EVERYTHING),
}


def plain(made: Deployment) -> dict[str, Any]:
    return keyed(dict(item.document) for item in KubernetesTarget(Surroundings()).render(made).items)


def keyed(documents: Any) -> dict[str, Any]:
    return {f"{item['kind']}/{item['metadata']['name']}": json.loads(json.dumps(item)) for item in documents}


def tree(made: Deployment, form: str, folder: Path) -> Path:
    manifests = KubernetesTarget(Surroundings()).render(made)
    write_files(deploy.format_files(KubernetesTarget(Surroundings()), manifests, made, form), folder)
    return folder


def overlay(folder: Path, name: str) -> dict[str, Any]:
    kubectl = Path(sys.executable).parent / "kubectl"
    command = [str(kubectl), "kustomize", str(folder / "overlays" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return keyed(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name", CASES)
def test_kustomize(name: str, tmp_path: Path) -> None:
    """As kubectl builds it."""
    assert overlay(tree(CASES[name], "kustomize", tmp_path), "default") == plain(CASES[name])


@pytest.mark.parametrize("name", ["production", "staging"])
def test_an_overlay_for_each_environment(name: str, tmp_path: Path) -> None:
    """As if the environment had been chosen."""
    made = CASES["multi_node"]
    folder = tree(made, "kustomize", tmp_path)
    assert sorted(path.name for path in (folder / "overlays").iterdir()) == ["default", "production", "staging"]
    chosen = replace(made, options={**made.options, "environment": name})
    assert overlay(folder, name) == plain(chosen)
    assert overlay(folder, name) != plain(made)


@pytest.mark.parametrize("name", CASES)
def test_helm(name: str, tmp_path: Path) -> None:
    """With the chart's own values."""
    folder = tree(CASES[name], "helm", tmp_path)
    assert keyed(chart.rendered(folder, "demo")) == plain(CASES[name])


def test_values_of_a_chart(tmp_path: Path) -> None:
    """Images, replicas, resources and the host; the schema refuses what is not there."""
    folder = tree(CASES["everything"], "helm", tmp_path)
    values = yaml.safe_load((folder / "values.yaml").read_text())
    assert set(values) == {"services", "nats", "host"}
    assert "replicas" not in values["services"]["Processor"]
    values["services"]["Frontend"]["replicas"] = 7
    values["host"] = "other.example.com"
    found = keyed(chart.rendered(folder, "elsewhere", values))
    assert found["Deployment/llm-frontend"]["spec"]["replicas"] == 7
    assert found["Ingress/llm-frontend"]["spec"]["tls"][0]["hosts"] == ["other.example.com"]
    assert {item["metadata"].get("namespace", "elsewhere") for item in found.values()} == {"elsewhere"}
    schema = json.loads((folder / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert schema["properties"]["services"]["required"] == list(values["services"])
    about = yaml.safe_load((folder / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == ("0.1.0+1234e56", "1234e56")
    assert "-n {{ .Release.Namespace }} create secret" in (folder / "templates/NOTES.txt").read_text()


def test_a_tree_follows_the_graph(tmp_path: Path) -> None:
    """What is gone goes, and another form takes the place of the first."""
    tree(CASES["multi_node"], "kustomize", tmp_path)
    tree(CASES["hello"], "helm", tmp_path)
    assert not [path for path in (tmp_path / "base").rglob("*") if path.is_file()]
    with pytest.raises(UsageError, match="target `compose` has no form `helm`"):
        made = replace(CASES["hello"], target="compose", options={})
        target = ComposeTarget(Surroundings())
        deploy.format_files(target, target.render(made), made, "helm")
