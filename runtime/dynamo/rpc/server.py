"""Requests become calls of a service's methods, and what those return or yield becomes the answer."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from pydantic import BaseModel

from dynamo.messages import payload
from dynamo.rpc import call_context
from dynamo.rpc.call_arguments import Arguments
from dynamo.rpc.client import Call
from dynamo.rpc.deadlines import get_deadlines
from dynamo.rpc.metrics import Metrics
from dynamo.rpc.transport import Answer
from dynamo.rpc.wire import Request
from dynamo.sdk.errors import BadRequest, Deadline, RemoteError

logger = logging.getLogger("dynamo.server")
_END = object()
TURN_ITEMS = 4
SHOWN = 200


class Method:
    """One method that can be called from outside: its arguments, and how it is run."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.arguments = Arguments(function)
        self.streams = inspect.isasyncgenfunction(function)
        self._plain: set[type] = set()
        self._blocking = not (
            self.streams or inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function)
        )

    async def call_function(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call it: the value it returns, or an async iterator of what it yields."""
        if self.streams:
            return self.function(*arguments, **keywords)
        if self._blocking:
            result = await asyncio.to_thread(self.function, *arguments, **keywords)
        else:
            result = self.function(*arguments, **keywords)
        if inspect.isawaitable(result):
            result = await result
        if type(result) in self._plain:
            return result
        if isinstance(result, Call):
            result = await result
        if isinstance(result, Iterator):
            return _iterate_in_thread(result)
        if isinstance(result, BaseModel):
            self._plain.add(type(result))
        return result


class Limit:
    """The time that a request may take; then its task is cancelled."""

    __slots__ = ("_deadline", "_deadlines", "late", "task")

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.late = False
        self.task = asyncio.current_task(loop)
        self._deadlines = get_deadlines(loop)
        self._deadline = self._deadlines.set_deadline(loop.time() + seconds, self)

    def on_expired(self) -> None:
        """The time is up."""
        if self.task is not None:
            self.late = True
            self.task.cancel()

    def lift_deadline(self) -> None:
        """It ended before."""
        self._deadlines.lift_deadline(self._deadline, self)


async def _iterate_in_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item


class Dispatcher:
    """The handler of a worker: finds the method by the request's path, runs it, and sends what comes."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._methods: dict[str, Method] = {}
        self.metrics = metrics or Metrics()

    def add_method(self, path: str, name: str, function: Callable[..., Any]) -> None:
        """Make a method callable as `path`."""
        self._methods[path] = Method(name, function)

    async def __call__(self, request: Request, answer: Answer) -> None:
        method = self._methods.get(request.path)
        if method is None:
            answer.send_error("not_found", f"this worker has no endpoint `{request.path[:SHOWN]}`", "")
            return
        call_context.current.set(call_context.parse_incoming_context(request.headers, request.timeout))
        name, metrics = method.name, self.metrics
        metrics.count_started(name)
        began, outcome = time.perf_counter(), "cancelled"
        limit = Limit(request.timeout) if request.timeout > 0 else None
        try:
            await self._run_method(request, method, answer)
            outcome = "ok"
        except asyncio.CancelledError:
            if limit is None or not limit.late or limit.task is None or limit.task.uncancel():
                raise
            answer.send_error(Deadline.code, f"`{name}` took longer than {request.timeout:.3g} s", "")
            outcome = Deadline.code
        except RemoteError as error:
            answer.send_error(error.code, error.message, error.kind or type(error).__name__)
            outcome = error.code
        except Exception as error:
            logger.exception("`%s` failed", name)
            answer.send_error("internal", f"{type(error).__name__}: {error}", type(error).__name__)
            outcome = "internal"
        finally:
            if limit is not None:
                limit.lift_deadline()
            metrics.count_ended(name, outcome, time.perf_counter() - began)

    async def _run_method(self, request: Request, method: Method, answer: Answer) -> None:
        try:
            body = payload.decode(request.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not MessagePack: {error}") from error
        arguments, keywords = method.arguments.from_call(body)
        result = await method.call_function(arguments, keywords)
        if not hasattr(type(result), "__aiter__"):
            answer.send_value(payload.encode(result))
            return
        answer.open_stream()
        try:
            count, turn = 0, 1
            async for item in result:
                count += 1
                if not answer.send_item(payload.encode(item)):
                    await answer.wait_ready()
                elif count == turn:  # a generator that never waits must not hold up the first items of the others
                    turn += min(turn, TURN_ITEMS)
                    await asyncio.sleep(0)
        finally:
            if hasattr(result, "aclose"):
                await result.aclose()
        answer.end_stream()
