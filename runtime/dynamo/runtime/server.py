"""Requests become calls of a service's methods, and what those return or yield becomes the answer."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dynamo.runtime import context, payload
from dynamo.runtime.arguments import Arguments
from dynamo.runtime.client import Call
from dynamo.runtime.metrics import Metrics
from dynamo.runtime.transport import Answer
from dynamo.runtime.wire import Request
from dynamo.sdk.errors import BadRequest, Deadline, RemoteError

logger = logging.getLogger("dynamo.server")
_END = object()
TURN_ITEMS = 16


class Method:
    """One method that can be called from outside: its arguments, and how it is run."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.arguments = Arguments(function)
        self.streams = inspect.isasyncgenfunction(function)
        self._blocking = not (
            self.streams or inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function)
        )

    async def start(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call it: the value it returns, or an async iterator of what it yields."""
        if self.streams:
            return self.function(*arguments, **keywords)
        if self._blocking:
            result = await asyncio.to_thread(self.function, *arguments, **keywords)
        else:
            result = self.function(*arguments, **keywords)
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, Call):
            result = await result
        if isinstance(result, Iterator):
            return _from_thread(result)
        return result


async def _from_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item


class Dispatcher:
    """The handler of a worker: finds the method by the request's path, runs it, and sends what comes."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._methods: dict[str, Method] = {}
        self.metrics = metrics or Metrics()

    def add(self, path: str, name: str, function: Callable[..., Any]) -> None:
        """Make a method callable as `path`."""
        self._methods[path] = Method(name, function)

    async def __call__(self, request: Request, answer: Answer) -> None:
        method = self._methods.get(request.path)
        if method is None:
            answer.fail("not_found", f"this worker has no endpoint `{request.path}`", "")
            return
        context.current.set(context.incoming(request.headers, request.timeout))
        self.metrics.began(method.name)
        began, outcome = time.perf_counter(), "cancelled"
        try:
            if request.timeout > 0:
                outcome = await self._within(request, method, answer)
            else:
                outcome = await self._run(request, method, answer)
        finally:
            self.metrics.ended(method.name, outcome, time.perf_counter() - began)

    async def _within(self, request: Request, method: Method, answer: Answer) -> str:
        try:
            async with asyncio.timeout(request.timeout):
                return await self._run(request, method, answer)
        except TimeoutError:
            answer.fail(Deadline.code, f"`{method.name}` took longer than {request.timeout:.3g} s", "")
            return Deadline.code

    async def _run(self, request: Request, method: Method, answer: Answer) -> str:
        try:
            await self._answer(request, method, answer)
        except RemoteError as error:
            answer.fail(error.code, error.message, error.kind or type(error).__name__)
            return error.code
        except Exception as error:
            logger.exception("`%s` failed", method.name)
            answer.fail("internal", f"{type(error).__name__}: {error}", type(error).__name__)
            return "internal"
        return "ok"

    async def _answer(self, request: Request, method: Method, answer: Answer) -> None:
        try:
            body = payload.decode(request.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not MessagePack: {error}") from error
        arguments, keywords = method.arguments.from_call(body)
        result = await method.start(arguments, keywords)
        if not hasattr(result, "__aiter__"):
            answer.value(payload.encode(result))
            return
        answer.open()
        try:
            count, turn = 0, 1
            async for item in result:
                count += 1
                if not answer.item(payload.encode(item)):
                    await answer.ready()
                elif count == turn:  # a generator that never waits must not hold up the first items of the others
                    turn += min(turn, TURN_ITEMS)
                    await asyncio.sleep(0)
        finally:
            if hasattr(result, "aclose"):
                await result.aclose()
        answer.end()
