"""The golden manifests and charts before tools of others: checkov as a gate of hardening, Helm itself.

Each is installed once below `.bench/`; one that cannot be had is skipped with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_build.deploy.kubernetes.objects.manifest_files import write_files
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.pipeline import deploy
from dynamo_build.seams import Surroundings
from support.deployments import aggregated_graph, deployment, disaggregated_graph, hello_graph, multi_node_graph

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("hello_world", "aggregated", "disaggregated", "multi_node", "everything")
GOLDEN = [ROOT / f"tests/golden/k8s/{name}.yaml" for name in NAMES]
#: Findings that stand, and why.
ALLOWED = {
    "CKV_K8S_11": "no limit on CPU: an idle node is used, and throttling hurts latency",
    "CKV_K8S_35": "the token and the user's secrets come as variables, by reference; the runtime reads nothing else",
    "CKV_K8S_40": "the user is that of the image (10001), or any that the platform assigns",
    "CKV_K8S_22": "with GPUs the root is writable, since the container hook of the driver writes there",
}
CHARTS = {
    "hello": deployment(hello_graph(), config={"A": {"text": "{{ .Values }} {{{ y: 1e3"}}),
    "aggregated": deployment(aggregated_graph(), name="llm", bento="llm:08"),
    "disaggregated": deployment(disaggregated_graph(), name="llm", options={"ingress_host": "a.example.com"}),
    "multi-node": deployment(multi_node_graph(), name="large", options={"gateway": "edge/public"}),
}
HELM = """
import json, sys, yaml
import helm_python as helm
chart = helm.Chart.load(sys.argv[1])
found = [one for path, text in chart.render(name="any", namespace="demo").items() if path.endswith(".yaml")
         for one in yaml.safe_load_all(text) if one]
report = helm.lint(sys.argv[1], namespace="demo")
refused = False
try:
    chart.validate_schema({"services": {"Nobody": {}}})
except helm.HelmValuesError:
    refused = True
worst = max((message["severity"] for message in report["messages"]), default=0)
print(json.dumps({"objects": found, "worst": worst, "refused": refused}))
"""


def environment(name: str, *packages: str) -> Path:
    """The `bin` folder of an environment with these packages."""
    folder = ROOT / ".bench" / name
    if not (folder / ".ready").exists():
        uv = str(Path(sys.executable).parent / "uv")
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), *packages],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{name} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
        (folder / ".ready").touch()
    return folder / "bin"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_checkov_finds_nothing_but_what_we_chose(path: Path) -> None:
    """A new finding is a fault, and so is an exception that nobody needs any more."""
    checkov = environment("checkov", "checkov==3.3.30") / "checkov"
    command = [str(checkov), "--skip-download", "--compact", "--quiet", "--framework", "kubernetes", "-o", "json"]
    done = subprocess.run([*command, "-f", str(path)], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["summary"]["passed"] > 100
    assert {found["check_id"] for found in result["results"]["failed_checks"]} <= set(ALLOWED)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHARTS)
def test_helm_gives_the_plain_objects(name: str, tmp_path: Path) -> None:
    """Rendered by Helm's own library; it has no complaint, and refuses values that the chart does not have."""
    python = environment("helm", "helm-python-sdk==0.2.2", "pyyaml") / "python"
    manifests = KubernetesTarget(Surroundings()).render(CHARTS[name])
    write_files(deploy.format_files(KubernetesTarget(Surroundings()), manifests, CHARTS[name], "helm"), tmp_path)
    done = subprocess.run([str(python), "-c", HELM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wanted = [json.loads(json.dumps(dict(item.document))) for item in manifests.items]
    assert sorted(found["objects"], key=json.dumps) == sorted(wanted, key=json.dumps)
    assert (found["worst"] <= 1, found["refused"]) == (True, True)
