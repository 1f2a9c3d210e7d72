"""A graph out of its entry service: the services it reaches, the edges that links leave, and all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dynamo.sdk.decorators import Service, as_service
from dynamo.sdk.depends import Dependency
from dynamo.sdk.describe.checks import service_problems, service_warnings
from dynamo.sdk.graph import Discovery, Edge, Position, Problem, ServiceGraph, ServiceSpec, make_relative
from dynamo.sdk.interfaces import is_abstract
from dynamo.sdk.suggestions import did_you_mean


def assemble_graph(
    target: str, entry: Service[Any], project: str, own: frozenset[str], stand_ins: tuple[str, ...]
) -> Discovery:
    """The graph below `entry`, or every problem of it. `own` are the modules of the project."""
    walk = _Walk(project, own)
    walk.visit_service(entry, ())
    if walk.problems:
        return Discovery(problems=tuple(walk.problems), warnings=tuple(walk.warnings))
    # The bento's entry is told by the name under which the worker imports it, which may be another than the target's.
    graph = ServiceGraph(target=target, entry=entry.name, services=tuple(walk.services), stand_ins=stand_ins)
    return Discovery(graph=graph, warnings=tuple(walk.warnings))


class _Walk:
    """One walk over a graph, depth first, so that services come after those they call."""

    def __init__(self, project: str, own: frozenset[str]) -> None:
        self.project = project
        self.own = own
        self.services: list[ServiceSpec] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._seen: dict[int, Service[Any]] = {}
        self._names: dict[str, Service[Any]] = {}

    def visit_service(self, service: Service[Any], path: tuple[Service[Any], ...]) -> None:
        if id(service) in self._seen:
            return
        self._seen[id(service)] = service
        self._check_name(service)
        edges = []
        for attribute, callee, linked, position in self._iterate_edges(service):
            edges.append(Edge(attribute=attribute, service=callee.name, linked=linked))
            if callee in (*path, service):
                self._report_cycle((*path, service), callee, position)
                continue
            self.visit_service(callee, (*path, service))
        spec = service.build_spec(self.project, tuple(edges))
        self.services.append(spec)
        for problem in service_problems(service, spec, self.own):
            self._add_problem(problem.where, problem.message, problem.hint)
        for warning in service_warnings(service, spec, bool(path)):
            self.warnings.append(
                Problem(where=make_relative(warning.where, self.project), message=warning.message, hint=warning.hint)
            )

    def _add_problem(self, where: Position, message: str, hint: str) -> None:
        problem = Problem(where=make_relative(where, self.project), message=message, hint=hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _check_name(self, service: Service[Any]) -> None:
        other = self._names.setdefault(service.name, service)
        if other is not service:
            place = make_relative(other.position, self.project)
            message = f"two services are named `{service.name}`: the other is at {place}"
            self._add_problem(service.position, message, 'Rename one, or give it dynamo={"name": …}.')

    def _report_cycle(self, path: tuple[Service[Any], ...], back: Service[Any], position: Position) -> None:
        names = [service.name for service in path[path.index(back) :]]
        message = f"services depend on each other in a circle: {' → '.join([*names, back.name])}"
        self._add_problem(position, message, f"Remove the dependency of `{names[-1]}` on `{back.name}`.")

    def _iterate_edges(self, service: Service[Any]) -> Iterator[tuple[str, Service[Any], bool, Position]]:
        """The edges that are left: of a chained service the linked ones, of any other all."""
        linked = self._resolve_links(service)
        for attribute, dependency in service.dependencies.items():
            if attribute in linked:
                for callee, position in linked[attribute]:
                    yield attribute, self._check_reachable(service, callee, position), True, position
            elif not service.is_chained:
                found = self._resolve_dependency(service, attribute, dependency)
                if found is not None:
                    yield (
                        attribute,
                        self._check_reachable(service, found, dependency.position),
                        False,
                        dependency.position,
                    )

    def _check_reachable(self, service: Service[Any], callee: Service[Any], position: Position) -> Service[Any]:
        if not callee.is_enabled:
            message = f"`{service.name}` depends on `{callee.name}`, which answers over HTTP only"
            self._add_problem(position, message, f'Give `{callee.name}` dynamo={{"enabled": True}}.')
        return callee

    def _resolve_dependency(
        self, service: Service[Any], attribute: str, dependency: Dependency[Any]
    ) -> Service[Any] | None:
        found = as_service(dependency.on)
        if found is not None:
            return found
        name = getattr(dependency.on, "__name__", repr(dependency.on))
        where = f"`{service.name}.{attribute}`"
        if is_abstract(dependency.on):
            message, hint = (
                f"{where} depends on the abstract `{name}`, and no service is linked to it",
                f"Say which service it is: `{service.name}.link(…)` with a service that inherits `{name}`.",
            )
        elif isinstance(dependency.on, type):
            message, hint = (
                f"{where} depends on `{name}`, a class without @service",
                f"Decorate `{name}` with @service.",
            )
        elif hasattr(dependency.on, "__file__"):
            message, hint = (
                f"{where} depends on the module `{name}`, which holds no service of its name",
                "Name the class.",
            )
        else:
            message, hint = f"{where} depends on {name}, which is not a service", "Give `depends` a service."
        self._add_problem(dependency.position, message, hint)
        return None

    def _resolve_links(self, service: Service[Any]) -> dict[str, list[tuple[Service[Any], Position]]]:
        found: dict[str, list[tuple[Service[Any], Position]]] = {}
        for callee, position in service.links:
            exact = [key for key, item in service.dependencies.items() if as_service(item.on) is callee]
            fitting = exact or [key for key, item in service.dependencies.items() if _fits_dependency(callee, item)]
            if len(fitting) == 1 or exact:
                found.setdefault(fitting[0], []).append((callee, position))
                continue
            hint = f"Add `{callee.name.lower()} = depends({callee.name})` to `{service.name}`, or remove the link."
            if fitting:
                seen, hint = f"more than one dependency ({', '.join(fitting)})", "Depend on two different interfaces."
            else:
                seen = "no dependency"
                known = [getattr(item.on, "__name__", "") for item in service.dependencies.values()]
                hint = did_you_mean(callee.inner.__name__, known, hint) if known else hint
            self._add_problem(position, f"`{service.name}.link({callee.name})` fits {seen} of `{service.name}`", hint)
        return found


def _fits_dependency(callee: Service[Any], dependency: Dependency[Any]) -> bool:
    on = as_service(dependency.on)
    declared = on.inner if on is not None else dependency.on
    return isinstance(declared, type) and issubclass(callee.inner, declared)
