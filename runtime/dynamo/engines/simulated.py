"""An engine without a model: it takes the time, holds the blocks and tells the events of a real one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from dynamo.engines.batching import Batcher, SimulationSettings
from dynamo.engines.engine import EngineRequest, EngineSetup, EngineStep
from dynamo.llm.kv.events import KvEvent
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.sdk.config import read_setting


class SimulatedEngine:
    """`speed` times as fast as what it simulates. It sleeps on the event loop's clock, so a loop whose clock jumps
    (`dynamo.engines.virtual_time`) makes it instant and exact.
    """

    def __init__(
        self,
        settings: SimulationSettings | None = None,
        *,
        speed: float = 1.0,
        on_events: Callable[[list[KvEvent]], None] = lambda events: None,
        on_metrics: Callable[[ForwardPassMetrics], None] = lambda metrics: None,
    ) -> None:
        self.batcher = Batcher(settings or SimulationSettings())
        self._speed = speed
        self._on_events = on_events
        self._on_metrics = on_metrics
        self._answers: dict[str, asyncio.Queue[EngineStep]] = {}
        self._passes: asyncio.Task[None] | None = None

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong, and ValueError for a second request of the same id."""
        if request.id in self._answers:
            raise ValueError(f"a request `{request.id}` runs already")
        received = 0
        if request.handoff is not None:
            received = int(request.handoff.parameters.get("tokens", 0))
            await asyncio.sleep(received * self.batcher.settings.transfer_seconds / self._speed)
        self.batcher.add_request(request, received=received)
        answer = self._answers[request.id] = asyncio.Queue()
        if self._passes is None or self._passes.done():
            self._passes = asyncio.ensure_future(self._run_passes())
        step = None
        try:
            while step is None or step.finish_reason is None:
                step = await answer.get()
                yield step
        finally:
            del self._answers[request.id]
            if step is None or step.finish_reason is None:
                self.batcher.cancel_request(request.id)

    async def close(self) -> None:
        """End all requests."""
        if self._passes is not None:
            self._passes.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._passes
        for request, answer in self._answers.items():
            self.batcher.cancel_request(request)
            answer.put_nowait(EngineStep(tokens=(), finish_reason="cancelled"))

    async def _run_passes(self) -> None:
        while self.batcher.is_busy:
            done = self.batcher.run_pass()
            await asyncio.sleep(done.seconds / self._speed)
            for request, step in done.steps:
                if request in self._answers:
                    self._answers[request].put_nowait(step)
            events = self.batcher.pool.drain_events()
            if events:
                self._on_events(events)
            self._on_metrics(self.batcher.build_metrics())


def start_configured(setup: EngineSetup) -> SimulatedEngine:
    """The engine of a configuration. Raises BadConfiguration."""
    blocks = read_setting(setup.values, "blocks", 8192, least=1)
    return SimulatedEngine(
        SimulationSettings(block_size=setup.block_size, blocks=blocks),
        speed=read_setting(setup.values, "speed", 1.0),
        on_events=setup.on_events,
        on_metrics=setup.on_metrics,
    )
