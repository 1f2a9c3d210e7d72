"""Queues of jobs: each is done by one taker, given to another when that one dies, and set aside when it keeps failing.

    queue = runtime.queues.queue("namespace", "prefill", patience=30.0, attempts=3)
    await queue.put({"request": 1})
    job = await queue.take(timeout=5.0)         # None when nothing came
    try:
        work(job.value)                         # `await job.working()` now and then when it takes long
        await job.done()
    except RecoverableError:
        await job.again(delay=1.0)              # somebody may take it; `job.attempt` counts from 1
    await queue.size(), await queue.dead()      # waiting or being done; those given up, with `attempts` used up

A job whose taker says nothing for `patience` seconds is given to the next. After `attempts` takes it is put among the
dead instead, where `dead` shows it and `revive` puts it back. `put` may be told a `key`: a second job with the same key
within two minutes is not added. Jobs outlive a restart of the broker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from dynamo.messages import payload

PATIENCE_SECONDS = 30.0
ATTEMPTS = 5


class Job(Protocol):
    """A job that was taken. After `done` or `again` it is somebody else's."""

    @property
    def value(self) -> Any:
        """What was put."""

    @property
    def attempt(self) -> int:
        """How often it was taken, this time included."""

    async def done(self) -> None:
        """It is finished: nobody gets it again."""

    async def again(self, delay: float = 0.0) -> None:
        """Give it back, for anybody after the delay."""

    async def working(self) -> None:
        """Not finished, but alive: patience begins anew."""


class Queue(Protocol):
    """One queue."""

    async def put(self, value: Any, key: str = "") -> None:
        """Add a job. Raises Unavailable, and BadRequest for one that is too large."""

    async def take(self, timeout: float = 1.0) -> Job | None:
        """The next job, or None when none came in time. Raises Unavailable when there is no broker all that time."""

    async def size(self) -> int:
        """How many jobs wait or are being done. Raises Unavailable."""

    async def dead(self) -> list[Any]:
        """The values that were given up, oldest first, a thousand at most. Raises Unavailable."""

    async def revive(self) -> int:
        """Put those that were given up back; how many. Raises Unavailable."""


class Queues(Protocol):
    """Where queues are."""

    def queue(
        self, namespace: str, name: str, *, patience: float = PATIENCE_SECONDS, attempts: int = ATTEMPTS
    ) -> Queue:
        """The queue of that name; the first to use it decides patience and attempts."""


class MemoryJob:
    """A job of a `MemoryQueue`."""

    def __init__(self, queue: MemoryQueue, value: Any) -> None:
        self._queue = queue
        self._timer: asyncio.TimerHandle | None = None
        self.value = value
        self.attempt = 0

    def mark_taken(self) -> None:
        """Somebody took it."""
        self.attempt += 1
        self._start_timer()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._queue.patience, self._queue.return_job, self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def done(self) -> None:
        self._stop_timer()
        self._queue.taken.discard(self)

    async def again(self, delay: float = 0.0) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(delay, self._queue.return_job, self)

    async def working(self) -> None:
        self._stop_timer()
        self._start_timer()


class MemoryQueue:
    """A queue inside one process."""

    def __init__(self, patience: float, attempts: int) -> None:
        self.patience = patience
        self.taken: set[MemoryJob] = set()
        self._attempts = attempts
        self._waiting: asyncio.Queue[MemoryJob] = asyncio.Queue()
        self._dead: deque[MemoryJob] = deque()
        self._keys: set[str] = set()

    async def put(self, value: Any, key: str = "") -> None:
        if not key or key not in self._keys:
            self._waiting.put_nowait(MemoryJob(self, payload.decode(payload.encode(value))))
        if key:
            self._keys.add(key)

    async def take(self, timeout: float = 1.0) -> MemoryJob | None:
        try:
            async with asyncio.timeout(timeout):
                job = await self._waiting.get()
        except TimeoutError:
            return None
        self.taken.add(job)
        job.mark_taken()
        return job

    def return_job(self, job: MemoryJob) -> None:
        """A job was given back, or its taker is taken for dead."""
        if job in self.taken:
            self.taken.discard(job)
            if job.attempt >= self._attempts:
                self._dead.append(job)
            else:
                self._waiting.put_nowait(job)

    async def size(self) -> int:
        return self._waiting.qsize() + len(self.taken)

    async def dead(self) -> list[Any]:
        return [job.value for job in self._dead]

    async def revive(self) -> int:
        jobs = list(self._dead)
        self._dead.clear()
        for job in jobs:
            self._waiting.put_nowait(MemoryJob(self, job.value))
        return len(jobs)


class MemoryQueues:
    """Queues inside one process."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], MemoryQueue] = {}

    def queue(
        self, namespace: str, name: str, *, patience: float = PATIENCE_SECONDS, attempts: int = ATTEMPTS
    ) -> MemoryQueue:
        if (namespace, name) not in self._queues:
            self._queues[namespace, name] = MemoryQueue(patience, attempts)
        return self._queues[namespace, name]
