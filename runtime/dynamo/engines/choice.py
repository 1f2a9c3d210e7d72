"""The engine that a configuration names, started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynamo.engines.engine import Engine
from dynamo.llm.kv.engine_events import EngineEvent
from dynamo.llm.kv.events import KvEvent
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.sdk.errors import BadConfiguration
from dynamo.sdk.settings import setting

ENGINES = ("embedded", "vllm", "simulated", "echo")
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
    name, block_size = setting(values, "engine", "embedded"), setting(values, "block-size", BLOCK_SIZE, least=1)
    if name == "echo":
        from dynamo.engines.echo import EchoEngine

        return EchoEngine(setting(values, "delay", 0.0, least=0))
    if name == "simulated":
        from dynamo.engines.batching import SimulationSettings
        from dynamo.engines.simulated import SimulatedEngine

        settings = SimulationSettings(block_size=block_size, blocks=setting(values, "blocks", 8192, least=1))
        speed = setting(values, "speed", 1.0)
        return SimulatedEngine(settings, speed=speed, on_events=on_events, on_metrics=on_metrics)
    if name == "embedded":
        from dynamo.engines.embedded import EmbeddedEngine, EmbeddedSettings

        embedded = EmbeddedSettings(
            slots=setting(values, "slots", 4, least=1),
            context=setting(values, "max-model-len", 4096, least=1),
            threads=setting(values, "threads", 0, least=0),
            block_size=block_size,
            second_cache=setting(values, "second-cache", 8192),
        )
        model = setting(values, "model", "smollm2")
        return await EmbeddedEngine.start(model, embedded, on_events=on_events, on_metrics=on_metrics)
    if name == "vllm":
        from dynamo.engines.vllm import VllmEngine
        from dynamo.engines.vllm_nodes import VllmNode, place

        here = place(os.environ)
        if here is not None and not here.leads:
            return await VllmNode.start(here, arguments)
        arguments = here.arguments(arguments) if here is not None else arguments
        return await VllmEngine.start(arguments, on_events=on_engine_events, on_metrics=on_metrics)
    raise BadConfiguration(f"there is no engine `{name}`; there are {', '.join(ENGINES)}")
