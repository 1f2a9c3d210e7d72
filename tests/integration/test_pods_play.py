"""The manifests run: played in a real engine, with real addresses, policies enforced, as an arbitrary user."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from integration.composed import composed
from integration.pod_network import pod_network
from integration.pods import ARBITRARY_USER, Pods, nats_image, played
from support import hello
from support.cluster import Cluster, cluster
from support.command_line import dynamo

pytestmark = [pytest.mark.registry, pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(400)]

#: What nothing but a cluster can honour.
UNHONOURED = ["nodeSelector", "serviceAccountName"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, as_root: None, docker_host: str) -> Path:
    """The example, built."""
    folder = tmp_path_factory.mktemp("pods") / "hello_world"
    shutil.copytree(hello.ROOT / "examples/hello_world", folder)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = dynamo("build", "hello_world:Frontend", "--python", python, folder=folder, DYNAMO_HOME=str(folder / ".home"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def arguments(registry: str, base_image: str) -> tuple[str, ...]:
    """Where images come from and go to."""
    place = f"{registry}/test/{secrets.token_hex(6)}"
    nats = nats_image(registry, Path(sys.executable).parent / "nats-server")
    return ("--registry", place, "--base", base_image, "--nats-image", nats, "-n", "demo")


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> Iterator[Cluster]:
    """A cluster whose pods this test plays."""
    with cluster() as server:
        server.store.external = True
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        monkeypatch.setenv("DYNAMO_HOME", str(project / ".home"))
        yield server


@pytest.fixture
def pods(double: Cluster, project: Path, arguments: tuple[str, ...], base_image: str, tmp_path: Path) -> Iterator[Pods]:
    """Hello world, deployed with closed egress and played."""
    done = dynamo("deploy", *arguments, "--option", "egress=graph", "--apply", "-o", "name", folder=project)
    assert (done.returncode, done.stdout) == (0, "frontend\n"), done.stderr
    with pod_network() as network, played(double, network, "demo", base_image, tmp_path) as running:
        yield running


def test_hello_world_answers_over_service_names(pods: Pods, project: Path) -> None:
    """Every pod becomes ready under its policies, and the graph answers; what stops, stops well."""
    ready = dynamo("deployment", "status", "frontend", "-n", "demo", "--wait", "--timeout", "180s", folder=project)
    logs = "\n".join(f"{pod.name}: {pods.log(pod.workload[1])[-2000:]}" for pod in pods.pods if not pod.ready)
    assert ready.returncode == 0, ready.stderr + logs
    answer = pods.ask("frontend-frontend", 8000, "/generate", b'{"text": "Hello World"}')
    assert answer.splitlines() == hello.ANSWER
    assert pods.unhonoured() == UNHONOURED
    _hardened(pods)
    _policies(pods)
    assert all(pod.restarts == 0 for pod in pods.pods)
    assert {code for name, code in pods.stop() if "nats" not in name} == {0}


def _hardened(pods: Pods) -> None:
    """An arbitrary user without capabilities over a read-only root that still may write where it has to."""
    code = (
        "import json, os, pathlib\n"
        "status = dict(line.split(':', 1) for line in open('/proc/1/status').read().splitlines())\n"
        "def writable(path):\n"
        "    try: pathlib.Path(path, 'probe').write_text('x')\n"
        "    except OSError: return False\n"
        "    return True\n"
        "print(json.dumps([os.getuid(), status['CapEff'].strip(), status['NoNewPrivs'].strip(), status['Seccomp'].strip(),\n"
        "    writable('/app'), writable('/tmp'), os.environ['DYNAMO_TRANSPORT_PORT']]))"
    )
    for workload in ("frontend-backend", "frontend-middle", "frontend-frontend"):
        found = json.loads(pods.inside(workload, code).stdout)
        assert found == [ARBITRARY_USER, "0" * 16, "1", "2", False, True, "9345"]


def _policies(pods: Pods) -> None:
    """The open ports are the graph's edges and nothing else."""
    middle, backend, nats = (pods.of(f"frontend-{name}").address.ip for name in ("middle", "backend", "nats"))
    wanted = {
        ("frontend", middle, 9345): True,
        ("middle", backend, 9345): True,
        ("frontend", backend, 9345): False,
        ("backend", middle, 9345): False,
        ("backend", nats, 4222): True,
        ("backend", nats, 8222): False,
        ("backend", middle, 9090): False,
    }
    for (source, target, port), open_ in wanted.items():
        code = f"import socket; socket.create_connection(({target!r}, {port}), 5).close()"
        done = pods.inside(f"frontend-{source}", code)
        assert (done.returncode == 0) == open_, f"{source} to {target}:{port}: {done.stderr[-300:]}"


def test_the_aggregated_llm_graph_answers(
    double: Cluster, arguments: tuple[str, ...], base_image: str, tmp_path: Path
) -> None:
    """OpenAI's API over three services, with an engine that gives the prompt back."""
    folder = tmp_path / "llm"
    shutil.copytree(hello.ROOT / "examples/llm", folder, ignore=shutil.ignore_patterns("__pycache__"))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    settings = ("--Common.model=bytes", "--VllmWorker.engine=echo", "--Frontend.served_model_name=m")
    build = ("build", "graphs.agg:Frontend", "-f", "configs/laptop/agg.yaml", "--python", python, *settings)
    done = dynamo(*build, folder=folder)
    assert done.returncode == 0, done.stderr
    done = dynamo("deploy", *arguments, "--option", "egress=graph", "--apply", "-o", "name", folder=folder)
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    question = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "max_tokens": 100}
    with pod_network() as network, played(double, network, "demo", base_image, tmp_path) as pods:
        ready = dynamo("deployment", "status", name, "-n", "demo", "--wait", "--timeout", "180s", folder=folder)
        logs = "\n".join(f"{pod.name}: {pods.log(pod.workload[1])[-2000:]}" for pod in pods.pods if not pod.ready)
        assert ready.returncode == 0, ready.stderr + logs
        answer = json.loads(pods.ask(f"{name}-frontend", 8000, "/v1/chat/completions", json.dumps(question).encode()))
        assert answer["choices"][0]["message"]["content"] == "user: Grüße\nassistant:"


def test_the_compose_file_runs(
    project: Path, double: Cluster, arguments: tuple[str, ...], base_image: str, tmp_path: Path
) -> None:
    """The same graph on one host: healthy by its own checks, and it answers; the token comes from outside."""
    done = dynamo("deploy", *arguments, "--target", "compose", folder=project)
    assert done.returncode == 0, done.stderr
    token = secrets.token_hex(16)
    assert token not in done.stdout
    with (
        pod_network() as network,
        composed(
            yaml.safe_load(done.stdout), network, {"DYNAMO_TRANSPORT_TOKEN": token}, base_image, tmp_path
        ) as running,
    ):
        assert running.healthy(180)
        url = f"http://{running.addresses['frontend'].ip}:8000/generate"

        def ask() -> str:
            with urllib.request.urlopen(url, data=b'{"text": "Hello World"}', timeout=20) as response:
                return str(response.read().decode())

        assert network.on_node(ask).splitlines() == hello.ANSWER


def test_a_broken_probe_is_noticed(
    double: Cluster, project: Path, arguments: tuple[str, ...], base_image: str, tmp_path: Path
) -> None:
    """The deployment is not ready, and the reason is the probe's."""
    broken = {"Backend": {"container": {"readinessProbe": {"httpGet": {"path": "/nowhere"}}}}}
    done = dynamo("deploy", *arguments, "--option", f"overrides={json.dumps(broken)}", "--apply", folder=project)
    assert done.returncode == 0, done.stderr
    with pod_network() as network, played(double, network, "demo", base_image, tmp_path) as pods:
        until = time.monotonic() + 120
        while (
            not (pods.of("frontend-middle").ready and pods.of("frontend-backend").started) and time.monotonic() < until
        ):
            time.sleep(0.2)
        status = dynamo("deployment", "status", "frontend", "-n", "demo", "--wait", "--timeout", "10s", folder=project)
        assert status.returncode == 14
        assert (
            "Deployment/frontend-backend: Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404"
            in (status.stderr.splitlines()[-2])
        ), status.stderr
        assert pods.of("frontend-middle").ready
