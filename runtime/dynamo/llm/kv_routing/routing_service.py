"""A router that runs: it hears workers and other routers, and knows who is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Sequence

from dynamo.coordination.topics import Events
from dynamo.llm.kv import events
from dynamo.llm.kv.events import Resync
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.llm.kv_routing.replicas import Replicas
from dynamo.llm.kv_routing.router import Decision, KvRouter, NoWorkers, RouterSettings
from dynamo.llm.kv_routing.subscriber import KvFeed
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.errors import RemoteError

TICK_SECONDS = 0.25
ABSENT_SECONDS = 5.0
"""So long after a worker left the registry its blocks are forgotten."""


class RoutingService:
    """Routes prompts to the workers of one component. Several of these, in any processes, agree on what they know.

    `workers` gives the ids of those who are there now. Use it as an async context manager, or `start` and `close`.
    """

    def __init__(
        self,
        events: Events,
        namespace: str,
        component: str,
        workers: Callable[[], Sequence[int]],
        settings: RouterSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ) -> None:
        self.router = KvRouter(settings or RouterSettings(), clock, seed)
        self.feed = KvFeed(self.router, self._request_snapshot, clock)
        self.replicas = Replicas(events, namespace, component, self.router, clock)
        self._workers = workers
        self._clock = clock
        self._topics = {
            kind: open_topic(events, kind, namespace, component) for kind in ("kv_events", "kv_resync", "load")
        }
        self._absent: dict[int, float] = {}
        self._questions: asyncio.Queue[int] = asyncio.Queue()
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen; workers that are there already are asked what they hold."""
        await self.replicas.start()
        self._listeners = [
            Listener(self._topics["kv_events"], self.feed.on_kv),
            Listener(self._topics["load"], self.feed.on_load),
        ]
        self._tasks = [asyncio.ensure_future(self._run_ticks()), asyncio.ensure_future(self._put_questions())]

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            await listener.close()
        await self.replicas.close()

    async def __aenter__(self) -> RoutingService:
        await self.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    def route(self, request: str, tokens: Sequence[int], without: Container[int] = ()) -> Decision:
        """Choose a worker, not one of `without`, and count the request as its work until `finished`.

        Raises NoWorkers, and ValueError for tokens that are none.
        """
        workers = [worker for worker in self._workers() if worker not in without]
        if not workers:
            raise NoWorkers("no worker is there" if not without else "no other worker is there")
        hashes = block_hashes(tokens, self.router.settings.block_size)
        decision = self.router.route(request, tokens, workers, hashes)
        work = max(len(tokens) - decision.overlap_blocks * self.router.settings.block_size, 1)
        told = hashes if self.router.settings.mode == "approximate" else ()
        self.replicas.announce_request(
            request, decision.worker, work, -(-len(tokens) // self.router.settings.block_size), told
        )
        return decision

    def first_token(self, request: str) -> None:
        """A request's prefill is done."""
        self.router.first_token(request)
        self.replicas.announce_first_token(request)

    def finished(self, request: str, tokens: int = 0) -> None:
        """A request ended, however, and after so many tokens."""
        self.router.finished(request)
        self.replicas.announce_end(request, tokens)

    async def ready(self, workers: int = 1, timeout: float = 30.0) -> bool:
        """Wait until so many workers are there and all they hold is known; False when the time passed."""
        until = self._clock() + timeout
        while len(self._workers()) < workers or not self._is_synchronized():
            if self._clock() >= until:
                return False
            await asyncio.sleep(TICK_SECONDS / 5)
        return True

    def _is_synchronized(self) -> bool:
        if self.router.settings.mode != "kv":
            return True
        heard = self.feed.workers
        return self.feed.is_complete and all(worker in heard for worker in self._workers())

    def _request_snapshot(self, worker: int) -> None:
        self._questions.put_nowait(worker)

    async def _put_questions(self) -> None:
        while True:
            worker = await self._questions.get()
            with contextlib.suppress(RemoteError):
                await self._topics["kv_resync"].publish(events.encode_message(Resync(worker)))

    async def _run_ticks(self) -> None:
        while True:
            self._check_workers()
            await asyncio.sleep(TICK_SECONDS)

    def _check_workers(self) -> None:
        """Ask those who were not heard yet, and forget those who left."""
        now, there = self._clock(), set(self._workers())
        if self.router.settings.mode == "kv":
            for worker in (there & set(self.feed.list_stale())) | (there - set(self.feed.workers)):
                self.feed.track_worker(worker)
        for worker in set(self.feed.workers) | set(self.router.approximate.workers):
            if worker in there:
                self._absent.pop(worker, None)
            elif now - self._absent.setdefault(worker, now) >= ABSENT_SECONDS:
                del self._absent[worker]
                self.feed.remove_worker(worker)
                self.router.gone(worker)
        self.router.aggregator.silent()
        self.replicas.expire_routers()


async def routing(
    runtime: DistributedRuntime,
    namespace: str,
    component: str,
    endpoint: str,
    settings: RouterSettings | None = None,
) -> RoutingService:
    """A router for an endpoint's instances, started. Raises RemoteError when they cannot be looked up."""
    client = await runtime.namespace(namespace).component(component).endpoint(endpoint).client()
    service = RoutingService(runtime.events, namespace, component, client.instance_ids, settings)
    await service.start()
    return service
