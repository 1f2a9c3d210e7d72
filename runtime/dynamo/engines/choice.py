"""The engine that a configuration names, started: of this distribution, or of any installed one by entry point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from dynamo.engines.engine import Engine, EngineSetup
from dynamo.llm.kv.engine_events import EngineEvent
from dynamo.llm.kv.events import KvEvent
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.sdk.config import read_setting
from dynamo.sdk.errors import BadConfiguration
from dynamo.sdk.suggestions import find_closest

GROUP = "dynamo.engines"
"""The entry point group in which other distributions offer engines: NAME = module:factory."""

ENGINES: Mapping[str, str] = {
    "embedded": "dynamo.engines.embedded:start_configured",
    "vllm": "dynamo.engines.vllm:start_configured",
    "simulated": "dynamo.engines.simulated:start_configured",
    "echo": "dynamo.engines.echo:start_configured",
}
BLOCK_SIZE = 64


async def start_engine(
    values: Mapping[str, Any],
    arguments: Sequence[str] = (),
    *,
    on_events: Callable[[list[KvEvent]], None] = lambda events: None,
    on_engine_events: Callable[[list[EngineEvent]], Any] = lambda events: None,
    on_metrics: Callable[[ForwardPassMetrics], None] = lambda metrics: None,
) -> Engine:
    """The engine of a service's configuration: `engine`, `model`, `block-size`, `max-model-len`, and what is its own.

    `arguments` are the same keys as arguments, for vLLM's parser. Raises BadConfiguration, and what the engine raises
    when it cannot start.
    """
    name = read_setting(values, "engine", "embedded")
    setup = EngineSetup(
        values=values,
        arguments=tuple(arguments),
        block_size=read_setting(values, "block-size", BLOCK_SIZE, least=1),
        on_events=on_events,
        on_engine_events=on_engine_events,
        on_metrics=on_metrics,
    )
    started = _load_factory(name)(setup)
    engine: Engine = await started if inspect.isawaitable(started) else started
    return engine


def _load_factory(name: str) -> Callable[[EngineSetup], Any]:
    # Built-in names come first: an installed distribution must not replace an engine behind a configuration's back.
    if name in ENGINES:
        builtin: Callable[[EngineSetup], Any] = metadata.EntryPoint(name, ENGINES[name], GROUP).load()
        return builtin
    foreign = metadata.entry_points(group=GROUP)
    if name not in foreign.names:
        known = [*ENGINES, *sorted(foreign.names - set(ENGINES))]
        best = find_closest(name, known)
        hint = f"; did you mean `{best}`?" if best else ""
        raise BadConfiguration(f"there is no engine `{name}`; there are {', '.join(known)}{hint}")
    point = foreign[name]
    try:
        factory: Callable[[EngineSetup], Any] = point.load()
    except (ImportError, AttributeError) as error:
        raise BadConfiguration(f"the engine `{name}` (`{point.value}`) cannot be loaded: {error}") from error
    return factory
