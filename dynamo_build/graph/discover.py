"""Discovery of a graph as its image will see it: only what the image can import is there, stood in for or real."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dynamo.sdk import compatible
from dynamo.sdk.graph import Discovery, Problem, ServiceGraph
from dynamo_build.errors import GraphError, LockError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.graph.available import (
    Provided,
    add_modules,
    explain_missing_import,
    find_missing_imports,
    find_provided_modules,
)
from dynamo_build.graph.child import build_graph_error, explore_graph
from dynamo_build.graph.imports import Reached, find_start_file, follow_imports
from dynamo_build.model.plan import BuildOptions, Lock, Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.requirements import collect_requirements

_Draft = TypeVar("_Draft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A described graph, and what was taken as given for it. `settled` is false while packages are to be locked."""

    discovery: Discovery
    reached: Reached
    has: Provided
    lock: Lock | None = None
    warnings: tuple[Problem, ...] = ()

    @property
    def graph(self) -> ServiceGraph:
        assert self.discovery.graph is not None
        return self.discovery.graph

    @property
    def is_settled(self) -> bool:
        return self.has.complete


def settle_graph(
    target: str,
    project: Path,
    options: BuildOptions,
    draft: Callable[[Found], _Draft],
    lock: Callable[[_Draft], Lock],
    on: Listener = ignore,
    *,
    recorded: Callable[[Lock], frozenset[str]] | None = None,
) -> tuple[Found, _Draft, Lock]:
    """The graph that `target` names, its draft and its locked packages, each in agreement with the others.

    `draft` makes of a found graph what `lock` locks the packages of; the draft that is returned is of the graph that is
    returned. Raises what `find`, `draft` and `lock` raise.
    """
    # The graph decides which packages are locked, and the packages decide what the graph can import: a guarded
    # `import torch` takes another branch once torch is there. This is a search for a fixpoint, cut after one step. The
    # first look stands in for all that the project asks for by name, so it errs only about guarded imports of packages
    # that come as dependencies of others. The second one knows the lock, and describes the graph again only if such an
    # import turned out otherwise. Its result is not locked again, so this ends: two branches that each need a package
    # which only the other one asks for would alternate for ever.
    found = find_graph(target, project, options, on, recorded=recorded)
    drafted = draft(found)
    locked = lock(drafted)
    if found.is_settled:
        return found, drafted, locked
    settled = find_graph(target, project, options, on, lock=locked, before=found, recorded=recorded)
    return settled, drafted if settled.graph == found.graph else draft(settled), locked


def find_graph(
    target: str,
    project: Path,
    options: BuildOptions,
    on: Listener = ignore,
    *,
    lock: Lock | None = None,
    before: Found | None = None,
    recorded: Callable[[Lock], frozenset[str]] | None = None,
) -> Found:
    """The graph that `target` names. `lock` are packages that were just locked, and `before` what was found without.

    `recorded` gives the modules of locked wheels. Raises GraphError with all problems, of the graph and of its imports,
    and UsageError.
    """
    reached = before.reached if before else follow_imports(project, find_start_file(target, project))
    # The text of files says which modules they import, but not which ones they import by a computed name: the child
    # reports those. Their own imports may need stand-ins, so the graph is described once more. Files are only ever
    # added, and what the second description adds is not looked into: two rounds bound the time that a build takes.
    for _ in range(2):
        wanted, _, _ = collect_requirements(project, reached.files, options)
        locked = lock or _read_current_lock(project, options, wanted)
        has = find_provided_modules(
            wanted,
            locked,
            runtime_only=(*options.runtime_only, *compatible.find_used(project, reached.files)),
            base=options.base_modules,
            imports=reached.imports,
            recorded=recorded,
        )
        needed, deferred = find_missing_imports(reached, has, project)
        if before and _has_same_imports(before.has, has, reached):
            discovery = before.discovery
            if has.complete and needed:
                raise build_graph_error(
                    target, [explain_missing_import(each, has, project, wanted.python) for each in needed]
                )
            break
        problems = (
            [explain_missing_import(each, has, project, wanted.python) for each in needed] if has.complete else []
        )
        stand_ins = add_modules(has, needed).stand_ins
        discovery = _explore_target(target, project, options, stand_ins, problems, on)
        further = follow_imports(project, {*reached.files, *discovery.modules})
        if further.files == reached.files:
            break
        reached = further
    if not before and (used := discovery.graph.stand_ins if discovery.graph else ()):
        on(Noted(text=f"stood in for {', '.join(used)} while the graph was imported"))
    told = tuple(explain_missing_import(each, has, project, wanted.python) for each in deferred) if has.complete else ()
    return Found(discovery=discovery, reached=reached, has=has, lock=locked, warnings=told)


def _explore_target(
    target: str,
    project: Path,
    options: BuildOptions,
    stand_ins: Collection[str],
    problems: list[Problem],
    on: Listener,
) -> Discovery:
    try:
        found = explore_graph(target, project, timeout=options.timeout, stand_ins=tuple(stand_ins), closed=True, on=on)
    except GraphError as error:
        if not problems:
            raise
        raise build_graph_error(target, [*problems, *error.problems]) from error
    if problems:
        raise build_graph_error(target, problems)
    return found


def _read_current_lock(project: Path, options: BuildOptions, wanted: Requirements) -> Lock | None:
    path = project / lockfile.NAME
    if options.upgrade or not wanted.lock or not lockfile.is_lock_current(path, wanted):
        return None
    try:
        return lockfile.read_lock(path)[1]
    except LockError:
        return None


def _has_same_imports(before: Provided, now: Provided, reached: Reached) -> bool:
    """Whether what may fail to import fails as it did before."""
    return all((each.top in before) == (each.top in now) for each in reached.imports if each.need != "needed")
