"""A prefill worker: takes prompts from the queue, computes them, and tells where the blocks are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

import msgspec

from dynamo.coordination.queues import Job, Queues
from dynamo.coordination.topics import Events
from dynamo.llm.disagg.jobs import (
    ATTEMPTS,
    SILENCE_SECONDS,
    Generates,
    Prefilled,
    PrefillJob,
    encode_reply,
    prefill_queue,
)
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.generation import EngineRequest
from dynamo.llm.kv.kv_topics import open_topic
from dynamo.sdk.errors import RemoteError

logger = logging.getLogger("dynamo.llm")


class PrefillLoop:
    """Prefills for a model, `at_once` prompts at a time.

    A prompt that makes the engine fail is tried again, by whoever takes it, and set aside after `ATTEMPTS`.
    """

    def __init__(
        self,
        events: Events,
        queues: Queues,
        namespace: str,
        model: str,
        worker: int,
        engine: Generates,
        *,
        at_once: int = 1,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.done = 0
        self._events = events
        self._place = (namespace, model)
        self._queue = prefill_queue(queues, namespace, model, silence)
        self._silence = silence
        self._worker = worker
        self._engine = engine
        self._at_once = at_once
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to take prompts."""
        self._tasks = [asyncio.ensure_future(self._take_jobs()) for _ in range(self._at_once)]

    async def close(self) -> None:
        """Stop; prompts that were begun are given back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_jobs(self) -> None:
        while True:
            try:
                job = await self._queue.take(1.0)
            except RemoteError:
                await asyncio.sleep(0.2)
                continue
            if job is not None:
                await self._run_job(job)

    async def _run_job(self, job: Job) -> None:
        heart = asyncio.ensure_future(_renew_job(job, self._silence / 3))
        try:
            asked = msgspec.convert(job.value, PrefillJob)
            if asked.until > time.time():
                handoff = await self._compute_prefill(asked.request)
                await self._send_reply(asked.worker, Prefilled(asked.request.id, handoff))
                self.done += 1
            await job.done()
        except asyncio.CancelledError:
            await job.again()
            raise
        except RemoteError as error:
            logger.warning("a prompt is given back: %s", error.message)
            await job.again(0.2)
        except Exception as error:  # noqa: BLE001 - whatever one prompt does to the engine, the next is served
            logger.warning("a prompt could not be prefilled, attempt %s of %s: %r", job.attempt, ATTEMPTS, error)
            await self._give_up(job, error)
        finally:
            heart.cancel()

    async def _compute_prefill(self, request: EngineRequest) -> KvHandoff:
        async with contextlib.aclosing(self._engine.generate(request)) as steps:
            async for step in steps:
                if step.handoff is not None:
                    return replace(step.handoff, request=request.id, prefill_worker=self._worker)
        raise ValueError("the engine said nothing of where the blocks are")

    async def _give_up(self, job: Job, error: Exception) -> None:
        with contextlib.suppress(RemoteError, msgspec.ValidationError):
            asked = msgspec.convert(job.value, PrefillJob)
            if job.attempt >= ATTEMPTS:
                await self._send_reply(
                    asked.worker, Prefilled(asked.request.id, problem=f"{type(error).__name__}: {error}")
                )
        await job.again(0.1)

    async def _send_reply(self, worker: int, word: Prefilled) -> None:
        await open_topic(self._events, f"prefilled.{worker}", *self._place).publish(encode_reply(word))


async def _renew_job(job: Job, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await job.working()
