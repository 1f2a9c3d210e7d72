"""Load for fault tests: many callers at once, every answer checked, every failure counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from dynamo.rpc.runtime import DistributedRuntime, connect
from dynamo.sdk.errors import RemoteError
from scenarios import fault_worker

TESTS = Path(__file__).resolve().parent.parent
ENDPOINTS = ("unary", "stream", "flood", "hang", "usage")
LATE = 1.0
"""How long after its deadline a call may still end on a machine that has other work."""


class Process:
    """A worker process."""

    def __init__(self, component: str, environment: Mapping[str, str], on: tuple[str, ...] = ()) -> None:
        command = [*on, sys.executable, "-m", "scenarios.fault_worker", component]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = ""
        self.id = 0

    async def ready(self) -> Process:
        """Wait until it can be called. Raises RuntimeError with what it said when it ended."""
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            raise RuntimeError(self.process.communicate()[1])
        self.address, number = line.split()
        self.id = int(number)
        return self

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            await asyncio.to_thread(self.process.wait, 15)
        finally:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode


@contextlib.asynccontextmanager
async def workers(count: int, environment: Mapping[str, str], component: str = "C") -> AsyncIterator[list[Process]]:
    """So many workers; all in the list at the end are killed."""
    made = [Process(component, environment) for _ in range(count)]
    try:
        for worker in made:
            await worker.ready()
        yield made
    finally:
        for worker in made:
            worker.send(signal.SIGCONT)
            await worker.end(signal.SIGKILL)


class Requests:
    """Callers that call until they are stopped, and what came of it."""

    def __init__(self, runtime: DistributedRuntime, component: str = "C", *, deadline: float = 5.0) -> None:
        self.runtime = runtime
        self.deadline = deadline
        self.client = runtime.service(fault_worker.NAMESPACE, component, {name: name for name in ENDPOINTS})
        self.counts: Counter[str] = Counter()
        self.untyped: list[BaseException] = []
        self.sent: list[tuple[float, str]] = []
        self.slowest = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._turn = 0
        self._watch(runtime.transport)

    def _watch(self, transport: Any) -> None:
        for name in ("begin", "request"):
            inner = getattr(transport, name)

            def noted(address: str, request: Any, inner: Any = inner) -> Any:
                self.sent.append((time.monotonic(), address))
                return inner(address, request)

            setattr(transport, name, noted)

    def start(self, callers: int, streams: int = 0, pause: float = 0.01) -> None:
        """Begin."""
        self._tasks += [asyncio.ensure_future(self._calls(self._unary, pause)) for _ in range(callers)]
        self._tasks += [asyncio.ensure_future(self._calls(self._stream, pause)) for _ in range(streams)]

    async def stop(self) -> Counter[str]:
        """Let the calls that run end; the counts."""
        self._stopping = True
        async with asyncio.timeout(self.deadline + 10):
            await asyncio.gather(*self._tasks)
        return self.counts

    async def _calls(self, one: Any, pause: float) -> None:
        while not self._stopping:
            await self._counted(one)
            await asyncio.sleep(pause)

    async def one(self) -> None:
        """One call, counted; every sixteenth is a stream."""
        self._turn += 1
        await self._counted(self._unary if self._turn % 16 else self._stream)

    async def _counted(self, one: Any) -> None:
        begun = time.monotonic()
        try:
            outcome = await one()
        except RemoteError as error:
            outcome = f"{one.__name__[1:]} {error.code}"
        except Exception as error:
            outcome = "untyped"
            self.untyped.append(error)
        spent = time.monotonic() - begun
        self.slowest = max(self.slowest, spent)
        if spent > self.deadline + LATE:
            outcome = "late"
        self.counts[outcome] += 1

    async def _unary(self) -> str:
        number = random.randrange(1 << 30)
        answer, _ = await self.client.unary(number, timeout=self.deadline)
        return "unary right" if answer == number else "wrong"

    async def _stream(self) -> str:
        got = []
        async for item in self.client.stream({"count": 20}, timeout=self.deadline):
            got.append(item)
        return "stream right" if got == list(range(20)) else "wrong"

    def nothing_lost(self) -> None:
        """Every call ended in time, with the right answer or with a typed error."""
        assert not self.untyped, self.untyped[:3]
        assert not self.counts["wrong"], self.counts
        assert not self.counts["late"], (self.counts, self.slowest)

    def called_after(self, address: str, moment: float) -> int:
        """How many requests were sent there after that time."""
        return sum(1 for at, where in self.sent if where == address and at > moment)


@contextlib.asynccontextmanager
async def connected(environment: Mapping[str, str]) -> AsyncIterator[DistributedRuntime]:
    """A caller."""
    async with await connect(environment) as runtime:
        yield runtime
