"""The graph of services as values: what discovery finds, and what every later stage and the worker start from.

Standard library only: this module and `codec` and `config` are the bridge between the toolchain and the runtime.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the author's code; `file` is relative to the project folder, `line` counts from 1 (0: unknown)."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a graph: where, what was seen, what to do."""

    where: Position = Position()
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument of an `@api` method or of a service's `__init__`."""

    name: str
    required: bool = True
    default: Json = None
    annotation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """One callable of a service. `transport` is `dynamo` (graph-internal) or `http` (an `@api` route)."""

    name: str
    method: str
    transport: str = "dynamo"
    streaming: bool = False
    http_method: str = "POST"
    parameters: tuple[Parameter, ...] = ()
    request_type: str = ""
    request_schema: Mapping[str, Json] = field(default_factory=dict)
    response_type: str = ""
    response_schema: Mapping[str, Json] = field(default_factory=dict)
    position: Position = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Kubernetes quantities as strings; `gpu` is a whole number (or, locally, a fraction) as a string."""

    cpu: str = "1"
    memory: str = "500Mi"
    gpu: str = "0"
    custom: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A `depends` of a service: its attribute, and the service behind it."""

    attribute: str
    service: str
    linked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One service. Its address is `namespace/name/endpoint`; `dynamo` says whether it is reachable inside the graph.

    `image` is a reference, or "" for the graph's base. `module` and `qualname` say where the worker imports it from.
    """

    name: str
    module: str
    qualname: str
    dynamo: bool = True
    namespace: str = "default"
    component_type: str = ""
    workers: int = 1
    resources: Resources = Resources()
    image: str = ""
    envs: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    traffic: Mapping[str, Json] = field(default_factory=dict)
    kubernetes_overrides: Mapping[str, Json] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = ()
    edges: tuple[Edge, ...] = ()
    position: Position = Position()

    @property
    def http(self) -> bool:
        """Whether it has `@api` routes, and so listens for HTTP."""
        return any(endpoint.transport == "http" for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGraph:
    """A graph by its entry service. `services` come dependencies first, the entry last.

    `target` is `module:Attribute` as the worker imports it, `stand_ins` the modules that discovery stood in for.
    """

    target: str
    entry: str
    services: tuple[ServiceSpec, ...]
    stand_ins: tuple[str, ...] = ()

    def service(self, name: str) -> ServiceSpec:
        """The service of that name; KeyError when there is none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all services, dependencies first."""
        return tuple(service.name for service in self.services)

    def edges(self) -> Iterator[tuple[ServiceSpec, ServiceSpec]]:
        """All (caller, callee) pairs."""
        for caller in self.services:
            for edge in caller.edges:
                yield caller, self.service(edge.service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a discovery found: a graph, or all of its problems (then `graph` is None).

    `modules` are the project's own files that the import touched, relative to the project folder.
    """

    graph: ServiceGraph | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    modules: tuple[str, ...] = ()


_INSTALLED = ("/site-packages/", "/dist-packages/")


def is_own(file: str, project: str) -> bool:
    """Whether a file is the project's own: below its folder, and not installed there (a virtual environment)."""
    return bool(project) and file.startswith(f"{project}/") and not any(name in file for name in _INSTALLED)


def own_path(file: str, project: str) -> str:
    """The file relative to the project; of a file elsewhere only what does not name this machine."""
    if is_own(file, project):
        return file.removeprefix(f"{project}/")
    for name in _INSTALLED:
        if name in file:
            return file.rpartition(name)[2]
    return file.rpartition("/")[2]


def make_relative(position: Position, project: str) -> Position:
    """The position with its file as `own_path` says; as it is when there is no project."""
    if not project or not position.file.startswith("/"):
        return position
    return Position(file=own_path(position.file, project), line=position.line)


def own_line(traceback: TracebackType | None, project: str) -> Position:
    """The last line of the project's own code in a traceback; an empty position when there is none."""
    found = Position()
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if is_own(file, project):
            found = Position(file=file, line=traceback.tb_lineno)
        traceback = traceback.tb_next
    return make_relative(found, project)
