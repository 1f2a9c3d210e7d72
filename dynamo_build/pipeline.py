"""The stages in their order, wired to the implementations that were chosen: what each command calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynamo.sdk.config import near_misses
from dynamo.sdk.graph import ServiceGraph
from dynamo_build import catalog
from dynamo_build.errors import GraphError
from dynamo_build.events import Listener, Warned, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.plan import BuildOptions, BuildPlan
from dynamo_build.model.reference import ImageReference
from dynamo_build.seams import Surroundings, default_home
from dynamo_build.stages import configure as configuring
from dynamo_build.stages.discover import explore, told
from dynamo_build.stages.lock import lock
from dynamo_build.stages.pack import pack
from dynamo_build.stages.plan import plan
from dynamo_build.store import Store


def build(
    target: str, project: Path, options: BuildOptions, on: Listener = ignore, surroundings: Surroundings | None = None
) -> Bento:
    """Freeze the graph that `target` names in the folder `project` into a bento of the store.

    Raises GraphError, UsageError, LockError, ToolMissing or StoreError.
    """
    surroundings = surroundings or Surroundings()
    planned = plan_build(target, project, options, on, surroundings)
    if options.offline:
        surroundings = replace(surroundings, environment={**surroundings.environment, "UV_OFFLINE": "1"})
    locked = lock(
        planned.requirements,
        Path(planned.project),
        given=catalog.locker("given", surroundings),
        resolver=catalog.locker("uv", surroundings),
        upgrade=options.upgrade,
        locked=options.locked,
        on=on,
    )
    return pack(planned, locked, store(surroundings), on, dockerfile=_dockerfile)


def plan_build(
    target: str, project: Path, options: BuildOptions, on: Listener = ignore, surroundings: Surroundings | None = None
) -> BuildPlan:
    """What `build` would pack, up to the lock; nothing is written. Raises GraphError or UsageError."""
    project = project.resolve()
    home = default_home((surroundings or Surroundings()).environment)
    found = explore(target, project, timeout=options.timeout, stand_ins=options.runtime_only, on=on)
    assert found.graph is not None
    config = configure(found.graph, options.config_file, options.arguments, on, strict=options.strict)
    options = replace(options, without=(*options.without, str(home)))
    planned = plan(found.graph, found.modules, project, options, config)
    for warning in planned.warnings:
        on(Warned(text=told(warning)))
    return planned


def configure(
    graph: ServiceGraph, config_file: str, arguments: tuple[str, ...], on: Listener = ignore, *, strict: bool = False
) -> Mapping[str, Any]:
    """The resolved configuration from a file ("" for none) and arguments. Raises GraphError or UsageError."""
    file = configuring.read(Path(config_file)) if config_file else {}
    config = configuring.configure(graph, file, arguments)
    misses = near_misses(graph, config)
    if misses and strict:
        raise GraphError("the configuration does not fit the graph", problems=misses)
    for miss in misses:
        on(Warned(text=told(miss)))
    return config


def store(surroundings: Surroundings | None = None) -> Store:
    """The store of bentos that the environment names."""
    return Store(default_home((surroundings or Surroundings()).environment))


def _dockerfile(bento: Bento) -> str:
    """The Dockerfile that an exported bento is built with; its base is given then."""
    from dynamo_build.dockerfile import dockerfile  # Jinja2 is loaded for a new bento only
    from dynamo_build.stages.layer import layer

    planned = layer(bento, ImageReference("", "base"), bento.manifest.platforms[0])
    labels = {name: value for name, value in planned.labels.items() if value}
    return dockerfile(replace(planned, labels=labels), buildkit=False)
