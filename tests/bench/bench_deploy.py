"""What rendering, checking and applying manifests cost: hello world, a graph of a thousand services, a second apply."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from measure import Cost, interleaved
from peers import environment_of

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from dynamo.sdk.graph import Edge, EndpointSpec, ServiceGraph, ServiceSpec  # noqa: E402
from dynamo_build.bento import bento_yaml  # noqa: E402
from dynamo_build.deploy.cluster.api_client import Connection  # noqa: E402
from dynamo_build.deploy.cluster.apply import apply_manifests  # noqa: E402
from dynamo_build.deploy.targets.k8s import KubernetesTarget  # noqa: E402
from dynamo_build.model.deployment import Manifests  # noqa: E402
from dynamo_build.seams import Surroundings  # noqa: E402
from support import deployments  # noqa: E402
from support.cluster import cluster  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
PYTHON = sys.executable
#: Nothing listens there, so that looking at the image ends at once.
IMAGE = f"127.0.0.1:1/hello@{deployments.DIGEST}"
Row = tuple[list[str], Path, Mapping[str, str]]


def main() -> None:
    """Measure and write the tables to the path given."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        _store(home, deployments.hello_graph(), "hello")
        _store(home, chain(1000), "large")
        tables = [command_table(home), large_table(home), apply_table(home)]
    Path(sys.argv[1]).write_text(json.dumps(tables))


def chain(count: int) -> ServiceGraph:
    """Services that call one another in a row."""
    endpoint = EndpointSpec(name="generate", method="generate")
    services = [
        ServiceSpec(
            name=f"Service{index}",
            module="graph",
            qualname=f"Service{index}",
            endpoints=(endpoint,),
            edges=(Edge(attribute="next", service=f"Service{index + 1}"),) if index + 1 < count else (),
        )
        for index in range(count)
    ]
    return ServiceGraph(target="graph:Service0", entry="Service0", services=tuple(services))


def command_table(home: Path) -> dict[str, object]:
    """`dynamo deploy` to stdout, without and with `--check`, over floors and beside the peer's help."""
    environment = {**os.environ, "DYNAMO_HOME": str(home), "HOME": str(home)}
    ours = [PYTHON, "-m", "dynamo_build", "deploy", "--image", IMAGE, "hello:1234e56"]
    commands: dict[str, Row] = {
        "floor: `python -c pass`": ([PYTHON, "-c", "pass"], home, environment),
        "floor: the models of `kubernetes` 37": (
            [PYTHON, "-c", "from kubernetes import client; client.V1Deployment"],
            home,
            environment,
        ),
        "`dynamo deploy` to stdout": (ours, home, environment),
        "`dynamo deploy --check`": ([*ours, "--check"], home, environment),
    }
    if (folder := environment_of("ai-dynamo")) is not None:
        commands["ai-dynamo `--help`"] = ([str(folder / "dynamo"), "--help"], home, environment)
    notes = ["Goals: 0.5 s to stdout without importing `kubernetes`, 1.5 s with `--check`."]
    return _table("`deploy` of hello world", interleaved(commands, ROUNDS), notes)


def large_table(home: Path) -> dict[str, object]:
    """The same of a thousand services."""
    environment = {**os.environ, "DYNAMO_HOME": str(home), "HOME": str(home)}
    ours = [PYTHON, "-m", "dynamo_build", "deploy", "--image", IMAGE, "large:1234e56"]
    read = "import sys; from pathlib import Path; from dynamo_build.bento import bento_yaml; bento_yaml.read_manifest(Path(sys.argv[1]))"
    bento = str(home / "bentos/large/1234e56")
    commands: dict[str, Row] = {
        "floor: reading the bento": ([PYTHON, "-c", read, bento], home, environment),
        "`dynamo deploy` to stdout": (ours, home, environment),
        "`dynamo deploy --check`": ([*ours, "--check"], home, environment),
    }
    notes = ["4,000 objects and more. Goals: 2 s, and 4 s with `--check`."]
    return _table("`deploy` of 1,000 services", interleaved(commands, max(3, ROUNDS // 2)), notes)


def apply_table(home: Path) -> dict[str, object]:
    """A second apply of some 200 objects against the double of an API server, in this process."""
    target = KubernetesTarget(Surroundings(cache=home))
    manifests: Manifests = target.render(deployments.deployment(chain(64), namespace="demo"))
    rows = []
    with cluster() as double:
        connection = Connection(kubeconfig=str(double.kubeconfig(home)))
        for turn in ("first apply", "second apply"):
            seconds: list[float] = []
            for _ in range(1 if turn.startswith("first") else ROUNDS):
                double.requests.clear()
                begun = time.monotonic()
                apply_manifests(manifests, Surroundings(cache=home), lambda event: None, connection)
                seconds.append(time.monotonic() - begun)
            spent = f"{statistics.median(seconds):.3f} s"
            rows.append([turn, len(manifests.items), len(double.requests), len(double.writes()), spent])
    return {
        "title": "Applying, against the double of an API server",
        "columns": ["what", "objects", "requests", "writes", "wall (client and double)"],
        "rows": rows,
        "notes": ["Goal: no writes the second time."],
    }


def _store(home: Path, graph: ServiceGraph, name: str) -> None:
    folder = home / "bentos" / name / "1234e56"
    folder.mkdir(parents=True)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(deployments.bento(graph, name=name).manifest))
    (folder / "build.json").write_text("{}")


def _table(title: str, costs: dict[str, Cost], notes: list[str]) -> dict[str, object]:
    ours = costs["`dynamo deploy` to stdout"]
    rows = [
        [name, f"{one.cpu:.3f} s", f"{one.wall:.3f} s", f"{one.memory >> 20} MiB", f"{one.cpu / ours.cpu:.2f}×"]
        for name, one in costs.items()
    ]
    columns = ["command", "CPU", "wall", "peak memory", "CPU against ours"]
    return {"title": title, "columns": columns, "rows": rows, "notes": notes}


if __name__ == "__main__":
    main()
