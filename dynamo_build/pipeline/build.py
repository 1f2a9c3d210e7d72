"""The verb `build`: discover a graph, plan, lock and pack it into a bento; apart from images, so that it loads fast."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynamo.sdk.config import near_misses, parse_arguments
from dynamo.sdk.graph import ServiceGraph
from dynamo_build import catalog
from dynamo_build.bento.pack import pack
from dynamo_build.bento.plan_bento import plan_bento
from dynamo_build.bento.stat_cache import Stamps
from dynamo_build.bento.store import Store, open_store
from dynamo_build.errors import GraphError
from dynamo_build.events import Listener, Warned, ignore
from dynamo_build.graph import config as service_config
from dynamo_build.graph.child import format_problem
from dynamo_build.graph.config import ARGUMENT, ConfigValue, trace_values
from dynamo_build.graph.discover import Found, find_graph, settle_graph
from dynamo_build.graph.unreached import digest_import_policy, find_unreachable_imports
from dynamo_build.model.bento import Bento
from dynamo_build.model.plan import BuildOptions, BuildPlan, Lock
from dynamo_build.packages.lock import collect_wheels, lock_packages
from dynamo_build.packages.wheels import Wheels
from dynamo_build.seams import Surroundings


def build(
    target: str, project: Path, options: BuildOptions, on: Listener = ignore, surroundings: Surroundings | None = None
) -> Bento:
    """Freeze the graph that `target` names in the folder `project` into a bento of the store.

    Raises GraphError, UsageError, LockError, ToolMissing or StoreError.
    """
    surroundings = _prepare_surroundings(surroundings, options)
    project = project.resolve()
    bentos = open_store(surroundings)
    stamps = Stamps.load_stamps(bentos.root / "cache", str(project), forget=options.rehash)
    options, recorded = _declare_base(options, project, bentos, surroundings, on)
    wheels = Wheels(environment=surroundings.environment, cache=bentos.root / "cache", on=on)

    def draft(found: Found) -> BuildPlan:
        return _plan_files(found, project, options, on, bentos, stamps)

    def resolve_lock(planned: BuildPlan) -> Lock:
        return lock_packages(
            planned.requirements,
            Path(planned.project),
            given=catalog.find_locker("given", surroundings),
            resolver=catalog.find_locker(options.locker, surroundings),
            wheels=wheels,
            upgrade=options.upgrade,
            locked=options.locked,
            on=on,
        )

    found, planned, locked = settle_graph(target, project, options, draft, resolve_lock, on, recorded=recorded)
    planned = _report_warnings(planned, found, options, on, stamps, recorded)
    carrying = collect_wheels(locked, planned.requirements, project, wheels)
    return pack(planned, locked, bentos, on, dockerfile=_render_dockerfile, stamps=stamps, wheels=carrying)


def plan_build(
    target: str, project: Path, options: BuildOptions, on: Listener = ignore, surroundings: Surroundings | None = None
) -> BuildPlan:
    """What `build` would pack, up to the lock; nothing is written. Raises GraphError or UsageError."""
    surroundings = _prepare_surroundings(surroundings, options)
    project = project.resolve()
    bentos = open_store(surroundings)
    stamps = Stamps.load_stamps(bentos.root / "cache", str(project), forget=options.rehash)
    options, recorded = _declare_base(options, project, bentos, surroundings, on)
    found = find_graph(target, project, options, on, recorded=recorded)
    planned = _plan_files(found, project, options, on, bentos, stamps)
    return _report_warnings(planned, found, options, on, stamps, recorded) if found.is_settled else planned


def _prepare_surroundings(surroundings: Surroundings | None, options: BuildOptions) -> Surroundings:
    surroundings = surroundings or catalog.default_surroundings()
    if options.offline:
        return replace(surroundings, environment={**surroundings.environment, "UV_OFFLINE": "1"})
    return surroundings


def _declare_base(
    options: BuildOptions, project: Path, bentos: Store, surroundings: Surroundings, on: Listener
) -> tuple[BuildOptions, Callable[[Lock], frozenset[str]]]:
    """The options with what the declared base brings along, and who knows the modules of locked wheels."""
    cache = bentos.root / "cache"
    if options.base:
        from dynamo_build.packages.base_labels import pin_declared_base

        options = pin_declared_base(options, project, surroundings.registry, cache, on)

    def list_modules(locked: Lock) -> frozenset[str]:
        from dynamo_build.packages.wheel_modules import Records  # most builds need nothing of it

        return Records(environment=surroundings.environment, cache=cache, on=on).list_modules(locked)

    return options, list_modules


def _plan_files(
    found: Found,
    project: Path,
    options: BuildOptions,
    on: Listener,
    bentos: Store,
    stamps: Stamps,
) -> BuildPlan:
    config = resolve_configuration(found.graph, options.config_file, options.arguments, on, strict=options.strict)
    options = replace(options, without=(*options.without, str(bentos.root)))
    with _pause_collection():
        planned = plan_bento(found.graph, found.reached.files, project, options, config, stamps=stamps)
    for warning in planned.warnings:
        on(Warned(text=format_problem(warning)))
    return planned


def _report_warnings(
    planned: BuildPlan,
    found: Found,
    options: BuildOptions,
    on: Listener,
    stamps: Stamps,
    recorded: Callable[[Lock], frozenset[str]],
) -> BuildPlan:
    """With the warnings about imports, known once packages are locked, and the ruling that the packed ones passed.

    Raises GraphError when strict.
    """
    passed = stamps.ruling.partition(" ")[2]
    strays = find_unreachable_imports(
        found, planned.requirements, planned.files, Path(planned.project), options, recorded, passed
    )
    doubts = (*found.warnings, *strays)
    if doubts and options.strict:
        raise GraphError("packed code imports modules that the image will not have", problems=doubts)
    for doubt in doubts:
        on(Warned(text=format_problem(doubt)))
    # Files that passed a ruling are not read again, so what is warned of must not pass: it is warned of every time.
    rules = f"{planned.ruling} {'' if strays else digest_import_policy(found, planned.files, options)}"
    return replace(planned, warnings=(*planned.warnings, *doubts), ruling=rules)


@contextmanager
def _pause_collection() -> Iterator[None]:
    """Without looking for cycles: among 100,000 files there are none, and looking costs a tenth of a build."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def discover_graph(
    target: str, project: Path, options: BuildOptions | None = None, on: Listener = ignore
) -> ServiceGraph:
    """The graph that `target` names, as its image will see it; nothing is written. Raises GraphError or UsageError."""
    surroundings, options, project = catalog.default_surroundings(), options or BuildOptions(), project.resolve()
    options, recorded = _declare_base(options, project, open_store(surroundings), surroundings, on)
    return find_graph(target, project, options, on, recorded=recorded).graph


def show_config(target: str, project: Path, options: BuildOptions, on: Listener = ignore) -> tuple[ConfigValue, ...]:
    """Every value that `build` would freeze, with its source; nothing is written. Raises GraphError or UsageError."""
    graph = discover_graph(target, project, options, on)
    resolve_configuration(graph, options.config_file, options.arguments, on, strict=options.strict)
    file = service_config.read_config(Path(options.config_file)) if options.config_file else {}
    return trace_values(graph, [(options.config_file, file), (ARGUMENT, parse_arguments(options.arguments))])


def resolve_configuration(
    graph: ServiceGraph, config_file: str, arguments: tuple[str, ...], on: Listener = ignore, *, strict: bool = False
) -> Mapping[str, Any]:
    """The resolved configuration from a file ("" for none) and arguments. Raises GraphError or UsageError."""
    file = service_config.read_config(Path(config_file)) if config_file else {}
    config = service_config.resolve_config(graph, file, arguments)
    misses = near_misses(graph, config)
    if misses and strict:
        raise GraphError("the configuration does not match the graph", problems=misses)
    for miss in misses:
        on(Warned(text=format_problem(miss)))
    return config


def _render_dockerfile(bento: Bento) -> str:
    """The Dockerfile that an exported bento is built with; its base is given then."""
    from dynamo_build.builders.dockerfile import (
        render_dockerfile,  # Jinja2 and the model of images are loaded for a new bento only
    )
    from dynamo_build.image.plan_image import plan_image
    from dynamo_build.model.reference import ImageReference

    planned = plan_image(bento, ImageReference("", "base"), bento.manifest.platforms[0])
    labels = {name: value for name, value in planned.labels.items() if value}
    return render_dockerfile(replace(planned, labels=labels), buildkit=False)
