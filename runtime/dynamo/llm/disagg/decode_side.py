"""A decode worker's side of disaggregation: which prompts it gives away, and what happens when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from dynamo.coordination.queues import Queues
from dynamo.coordination.topics import Events
from dynamo.llm.disagg.jobs import Generates, Prefilled, PrefillJob, decode_reply, prefill_queue
from dynamo.llm.disagg.policy import DisaggregatedRouter, KvHandoff, Thresholds, decide_place
from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.sdk.errors import RemoteError

logger = logging.getLogger("dynamo.llm")
PATIENCE_SECONDS = 10.0
"""So long a decode worker waits for a prompt to be prefilled elsewhere, and then does it itself."""
DEPTH_SECONDS = 0.05


class RemotePrefill:
    """The side of a decode worker: decides, and waits for the blocks of prompts that it gave away."""

    def __init__(
        self,
        events: Events,
        queues: Queues,
        namespace: str,
        model: str,
        worker: int,
        router: DisaggregatedRouter | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        prefill_workers: Callable[[], int] = lambda: 1,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.router = router or DisaggregatedRouter()
        self.counts = {"local": 0, "remote": 0, "failed": 0}
        self._place = (events, namespace, model)
        self._queue = prefill_queue(queues, namespace, model)
        self._answers = open_topic(events, f"prefilled.{worker}", namespace, model)
        self._worker = worker
        self._patience = patience
        self._prefill_workers = prefill_workers
        self._busy = busy
        self._waiting: dict[str, asyncio.Future[Prefilled]] = {}
        self._depth = (float("-inf"), 0)
        self._listener: Listener | None = None
        self._thresholds: Thresholds | None = None

    async def start(self) -> None:
        """Listen to prefill workers and to operators."""
        events, namespace, model = self._place
        self._listener = Listener(self._answers, self._on_answer)
        self._thresholds = Thresholds(events, namespace, model, self.router)

    async def close(self) -> None:
        """Stop; who waits goes on by himself."""
        for answer in self._waiting.values():
            answer.cancel()
        if self._listener is not None:
            await self._listener.close()
        if self._thresholds is not None:
            await self._thresholds.close()

    async def request_prefill(self, request: EngineRequest) -> KvHandoff | None:
        """How to get the blocks of this prompt from another worker; None: prefill it here."""
        try:
            depth = await self._queue_depth()
        except RemoteError as error:
            logger.warning("request %s is prefilled here: %s", request.id, error.message)
            self.counts["local"] += 1
            return None
        choice = decide_place(
            self.router.settings,
            len(request.tokens),
            request.prefix_hit_rate,
            depth,
            decode_busy=self._busy(),
            prefill_workers=self._prefill_workers(),
        )
        logger.debug("request %s: %s prefill, %s", request.id, choice.place, choice.reason)
        if choice.place == "local":
            self.counts["local"] += 1
            return None
        answer = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._patience):
                until = time.time() + self._patience
                sent = replace(request, prefill_only=True, handoff=None)
                await self._queue.put(PrefillJob(self._worker, until, sent), f"{self._worker}.{request.id}")
                self._depth = (self._depth[0], depth + 1)
                told: Prefilled = await answer
        except (TimeoutError, RemoteError) as error:
            logger.warning("request %s is prefilled here after all: %s", request.id, str(error) or "no answer in time")
            self.counts["failed"] += 1
            return None
        finally:
            del self._waiting[request.id]
        if told.handoff is None:
            logger.warning("request %s is prefilled here after all: %s", request.id, told.problem)
        self.counts["remote" if told.handoff is not None else "failed"] += 1
        return told.handoff

    @property
    def depth(self) -> int:
        """How many prompts waited in the queue when it was last looked at."""
        return self._depth[1]

    async def _queue_depth(self) -> int:
        now = asyncio.get_running_loop().time()
        if now - self._depth[0] >= DEPTH_SECONDS:
            self._depth = (now, await self._queue.size())
        return self._depth[1]

    def _on_answer(self, body: bytes) -> None:
        with contextlib.suppress(ValueError):
            told = decode_reply(body)
            answer = self._waiting.get(told.request)  # nobody waits for a second answer, nor for one that is late
            if answer is not None and not answer.done():
                answer.set_result(told)


class DisaggregatedEngine:
    """A decode worker's engine: prompts that pay it are prefilled elsewhere first."""

    def __init__(self, engine: Generates, remote: RemotePrefill) -> None:
        self._engine = engine
        self._remote = remote

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer; whatever happens to the prefill, it is given."""
        handoff = await self._remote.request_prefill(request)
        steps = self._engine.generate(replace(request, handoff=handoff))
        async with contextlib.aclosing(steps) as open_steps:
            async for step in open_steps:
                yield step
