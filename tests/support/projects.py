"""Small projects, graphs and plans made by hand, for tests that need no discovery and no index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynamo.sdk.graph import EndpointSpec, Position, ServiceGraph, ServiceSpec
from dynamo_build.bento.plan_bento import plan_bento
from dynamo_build.events import Listener
from dynamo_build.model.plan import BuildOptions, BuildPlan, Lock, LockedPackage, Requirements

FRONTEND = ServiceSpec(
    name="Frontend",
    module="graph",
    qualname="Frontend",
    endpoints=(
        EndpointSpec(
            name="generate",
            method="generate",
            transport="http",
            request_schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        ),
    ),
    position=Position(file="graph.py", line=1),
)
GRAPH = ServiceGraph(target="graph:Frontend", entry="Frontend", services=(FRONTEND,))
PACKAGE = LockedPackage(name="pydantic", version="2.9.0", hashes=("sha256:" + "0" * 64,))
LOCK = Lock(python="3.11", packages={"linux/amd64": (PACKAGE,)})


def write_project(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A project with a graph file and what is given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"graph.py": "class Frontend: ...\n", **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def planned(project: Path, **options: Any) -> BuildPlan:
    """The plan of a project around GRAPH."""
    return plan_bento(GRAPH, ["graph.py"], project, BuildOptions(**options))


class FakeLocker:
    """Locks everything to LOCK's package, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[Requirements] = []

    def lock(self, wanted: Requirements, project: Path, on: Listener) -> Lock:
        self.asked.append(wanted)
        return Lock(python=wanted.python, packages=dict.fromkeys(wanted.platforms, (PACKAGE,)))
