"""The target `compose`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamo_build.deploy.kubernetes.objects.manifest_files import render_manifests as written
from dynamo_build.deploy.targets.compose import ComposeTarget
from dynamo_build.errors import DeployError, ToolMissing
from dynamo_build.events import ignore
from dynamo_build.model.deployment import Deployment, SecretReference
from dynamo_build.seams import ApplyOptions, Surroundings
from support.deployments import deployment, disaggregated_graph, hello_graph


def rendered(made: Deployment) -> dict[str, Any]:
    (item,) = ComposeTarget(Surroundings()).render(made).items
    return dict(item.document)


def test_one_service_each_and_nats() -> None:
    """Only the entry is published, on loopback."""
    document = rendered(deployment(hello_graph()))
    assert set(document["services"]) == {"nats", "backend", "middle", "frontend"}
    assert document["services"]["frontend"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "ports" not in document["services"]["backend"]
    assert document["services"]["backend"]["command"] == ["Backend"]


def test_gpus_and_limits() -> None:
    """Devices by the engine's own form, memory in bytes, CPUs as a plain number."""
    worker = rendered(deployment(disaggregated_graph()))["services"]["vllm-worker"]
    resources = worker["deploy"]["resources"]
    assert resources["reservations"]["devices"] == [{"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}]
    assert resources["limits"] == {"cpus": "10", "memory": str(40 * 2**30)}
    assert int(worker["shm_size"]) == 20 * 2**30


def test_values_are_literal_and_secrets_are_asked_for() -> None:
    """Compose expands `$`; a secret is never in the file."""
    secret = SecretReference(variable="HF_TOKEN", secret="hf", key="token")
    fields = {"environment": {"A": "${B}"}, "secrets": (secret,)}
    environment = rendered(deployment(hello_graph(), workload=fields))["services"]["backend"]["environment"]
    assert environment["A"] == "$${B}"
    assert environment["HF_TOKEN"].startswith("${HF_TOKEN:?")
    assert environment["DYNAMO_TRANSPORT_TOKEN"].startswith("${DYNAMO_TRANSPORT_TOKEN:?")


def test_the_file_is_read_back(tmp_path: Path) -> None:
    """As any YAML reader reads it."""
    manifests = ComposeTarget(Surroundings()).render(deployment(hello_graph(), config={"A": {"b": "1e5"}}))
    assert yaml.safe_load(written(manifests, "yaml")) == manifests.items[0].document


def test_unknown_options() -> None:
    """With the known ones."""
    with pytest.raises(DeployError, match="compose has no `egress`"):
        rendered(deployment(hello_graph(), options={"egress": "graph"}))


def fake_docker(folder: Path, script: str) -> dict[str, str]:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder)}


def test_apply_hands_the_file_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is kept 0600, passed by the environment, and the same the next time."""
    script = 'echo "$@" >> $OUT/said; [ "$2" = version ] || { cat > $OUT/file; echo $DYNAMO_TRANSPORT_TOKEN >> $OUT/tokens; }'
    environment = fake_docker(tmp_path, script)
    monkeypatch.setenv("PATH", environment["PATH"])
    target = ComposeTarget(
        Surroundings(environment=environment, cache=tmp_path / "cache", applying=ApplyOptions(wait=30.0))
    )
    manifests = target.render(deployment(hello_graph()))
    assert target.apply(manifests, ignore) == target.apply(manifests, ignore) == "hello-world"
    assert "up -d --remove-orphans --wait --wait-timeout 30" in (tmp_path / "said").read_text()
    assert yaml.safe_load((tmp_path / "file").read_text()) == manifests.items[0].document
    first, second = (tmp_path / "tokens").read_text().split()
    assert first == second and len(first) == 64
    assert (tmp_path / "cache/compose/hello-world.token").stat().st_mode & 0o777 == 0o600


def test_without_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker without Compose is one line with what to install."""
    environment = fake_docker(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", environment["PATH"])
    target = ComposeTarget(Surroundings(environment=environment, cache=tmp_path))
    with pytest.raises(ToolMissing, match="no `compose` plugin"):
        target.apply(target.render(deployment(hello_graph())), ignore)
