"""An engine as a service of a graph runs it: configured, announced to routers, prefilled elsewhere when that pays."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any

from dynamo.engines.choice import BLOCK_SIZE, start_engine
from dynamo.engines.engine import Engine, EngineRequest, EngineStep
from dynamo.llm.disagg.decode_side import DisaggregatedEngine, RemotePrefill
from dynamo.llm.disagg.jobs import Generates
from dynamo.llm.disagg.policy import DisaggregatedRouter, DisaggSettings
from dynamo.llm.disagg.prefill_side import PrefillLoop
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.rpc.metrics import Metrics
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.config import ServiceConfig, read_setting
from dynamo.sdk.context import dynamo_context

OWN = frozenset(
    {"engine", "remote-prefill", "conditional-disagg", "max-local-prefill-length", "max-prefill-queue-size"}
)
"""Keys of a worker's configuration that are no arguments of vLLM."""


class EngineWorker:
    """A worker that makes tokens: `start` it in `@async_on_start`, yield what `generate` gives, `close` it."""

    def __init__(self, engine: Engine, generates: Generates, closing: contextlib.AsyncExitStack) -> None:
        self.engine = engine
        self._generates = generates
        self._closing = closing

    @classmethod
    async def start(cls, *, prefill: str = "") -> EngineWorker:
        """The engine of this service's configuration. `prefill` names the service that prefills for it.

        Raises what `start_engine` raises, and RemoteError.
        """
        runtime, namespace, component, worker = _read_placement()
        values = read_configuration(component)
        async with contextlib.AsyncExitStack() as closing:
            size = read_setting(values, "block-size", BLOCK_SIZE)
            blocks = KvEventPublisher(runtime.events, namespace, component, worker, size)
            metrics = WorkerMetricsPublisher(runtime.events, namespace, component, worker, blocks)
            engine = await start_engine(
                values,
                build_arguments(component),
                on_events=blocks.publish,
                on_engine_events=blocks.publish_engine,
                on_metrics=metrics.publish,
            )
            closing.push_async_callback(engine.close)
            await blocks.start()
            closing.push_async_callback(blocks.close)
            await metrics.start()
            closing.push_async_callback(metrics.close)
            _show_load(metrics)
            generates: Generates = engine
            if prefill and read_setting(values, "remote-prefill", False):
                remote = await _start_remote_prefill(runtime, namespace, worker, values, prefill)
                closing.push_async_callback(remote.close)
                generates = DisaggregatedEngine(engine, remote)
                _show_prefill(remote)
            return cls(engine, generates, closing.pop_all())

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong."""
        return self._generates.generate(request)

    @property
    def alive(self) -> bool:
        """Whether the engine can still answer; for `@liveness`."""
        return bool(getattr(self.engine, "alive", True))

    async def close(self) -> None:
        """End the engine and what was told about it."""
        await self._closing.aclose()


class EnginePrefillWorker:
    """A worker that computes prompts for others."""

    def __init__(self, loop: PrefillLoop, closing: contextlib.AsyncExitStack) -> None:
        self.loop = loop
        self._closing = closing

    @classmethod
    async def start(cls) -> EnginePrefillWorker:
        """The engine of this service's configuration, which takes prompts from the model's queue.

        Raises what `start_engine` raises, and RemoteError.
        """
        runtime, namespace, component, worker = _read_placement()
        values = read_configuration(component)
        async with contextlib.AsyncExitStack() as closing:
            engine = await start_engine(values, build_arguments(component))
            closing.push_async_callback(engine.close)
            loop = PrefillLoop(
                runtime.events,
                runtime.queues,
                namespace,
                read_model_name(values),
                worker,
                engine,
                at_once=read_setting(values, "prefill-at-once", 1),
            )
            await loop.start()
            closing.push_async_callback(loop.close)
            return cls(loop, closing.pop_all())

    async def close(self) -> None:
        """Give back what was begun, and end the engine."""
        await self._closing.aclose()


def read_configuration(component: str) -> dict[str, Any]:
    """The keys of a service and those of `Common` that it subscribes to."""
    return ServiceConfig.get_instance().get_parsed_config(component)


def build_arguments(component: str) -> Sequence[str]:
    """The same as arguments for vLLM's parser, without the keys that are ours."""
    config = ServiceConfig.get_instance()
    own = config.get(component)
    kept = {key: value for key, value in own.items() if key not in OWN} if isinstance(own, Mapping) else {}
    return ServiceConfig({**config, component: kept}).as_args(component)


def read_model_name(values: Mapping[str, Any]) -> str:
    """What workers of the same model call it."""
    return read_setting(values, "model", "smollm2")


def _read_placement() -> tuple[DistributedRuntime, str, str, int]:
    context = dynamo_context
    return context["runtime"], context["namespace"], context["service_name"], context["instance_id"]


async def _start_remote_prefill(
    runtime: DistributedRuntime, namespace: str, worker: int, values: Mapping[str, Any], component: str
) -> RemotePrefill:
    watch = await runtime.get_callee(namespace, component).open_watch()
    settings = DisaggSettings(
        conditional=read_setting(values, "conditional-disagg", False),
        max_local_prefill_length=read_setting(values, "max-local-prefill-length", 1000),
        max_prefill_queue_size=read_setting(values, "max-prefill-queue-size", 2),
    )
    remote = RemotePrefill(
        runtime.events,
        runtime.queues,
        namespace,
        read_model_name(values),
        worker,
        DisaggregatedRouter(settings),
        prefill_workers=lambda: len(watch.list_instances()),
    )
    await remote.start()
    return remote


def _show_load(told: WorkerMetricsPublisher) -> None:
    """What routers are told, on the worker's page of metrics too."""
    page: Metrics | None = dynamo_context.get("metrics")
    if page is None:
        return
    page.show("dynamo_engine_running", "Requests in the batch.", lambda: told.metrics.request_active_slots)
    page.show("dynamo_engine_waiting", "Requests that wait for a place.", lambda: told.metrics.num_requests_waiting)
    page.show("dynamo_kv_blocks", "Blocks of KV cache in use.", lambda: told.metrics.kv_active_blocks)
    page.show("dynamo_kv_usage", "Share of the KV cache in use.", lambda: told.metrics.gpu_cache_usage_perc)
    page.show("dynamo_kv_hit_rate", "Share of prompts found in it.", lambda: told.metrics.gpu_prefix_cache_hit_rate)


def _show_prefill(remote: RemotePrefill) -> None:
    """Where prompts are prefilled, and how many wait for it."""
    page: Metrics | None = dynamo_context.get("metrics")
    if page is None:
        return
    page.show("dynamo_prefill_queue_depth", "Prompts that waited, when last looked.", lambda: remote.depth)
    for place, count in (("local", "here"), ("remote", "elsewhere"), ("failed", "here, after elsewhere failed")):
        page.show(
            f"dynamo_prefill_{place}_total",
            f"Prompts prefilled {count}.",
            partial(remote.counts.__getitem__, place),
            "counter",
        )
