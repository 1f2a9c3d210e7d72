"""Calls of other services as BentoML's code writes them: they wait in a thread, and are awaited in the event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Literal

from pydantic import TypeAdapter

from dynamo.sdk.endpoints import annotations_of
from dynamo.sdk.schemas import unwrap_stream

_END = object()
_loops: list[asyncio.AbstractEventLoop] = []
Manner = Literal["as defined", "awaited", "waiting"]


def remember_loop() -> None:
    """Let calls from threads run in the event loop that is running now, if one is."""
    try:
        _loops[:] = [asyncio.get_running_loop()]
    except RuntimeError:
        _loops.clear()


class Callee:
    """Another service: each of its methods is called as it was defined there; `to_async`, `to_sync` say otherwise."""

    def __init__(self, client: Any, inner: type, manner: Manner = "as defined") -> None:
        self._client = client
        self._inner = inner
        self._manner = manner

    @property
    def to_async(self) -> Callee:
        """Its methods are awaited, and their streams go by `async for`."""
        return Callee(self._client, self._inner, "awaited")

    @property
    def to_sync(self) -> Callee:
        """Its methods wait for their answer."""
        return Callee(self._client, self._inner, "waiting")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        caller = getattr(self._client, name)
        function = getattr(self._inner, name)
        streams = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        awaited = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        awaited = self._manner == "awaited" or (self._manner == "as defined" and awaited)
        signature = inspect.signature(function)
        convert = _converter(function)

        def call(*arguments: Any, **keywords: Any) -> Any:
            given = dict(signature.bind(None, *arguments, **keywords).arguments)
            given.pop(next(iter(signature.parameters)))
            # one parameter takes the whole body
            made = caller(*given.values()) if len(signature.parameters) == 2 else caller(given)
            if convert is not None:
                made.wrap = convert
            if awaited:
                return made
            _outside_loop(name)
            return _items(made) if streams else _await_result(_value(made))

        return call


def _converter(function: Any) -> Callable[[Any], Any] | None:
    """What an answer becomes: the type that the method says it gives, or yields."""
    hint = annotations_of(function).get("return")
    _, item = unwrap_stream(hint)
    if item is None or item is Any or isinstance(item, str) or item is inspect.Parameter.empty:
        return None
    return TypeAdapter(item).validate_python


def _outside_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"`{name}` would hold up the event loop: write `await ….to_async.{name}(…)` in an async method")


async def _value(call: Any) -> Any:
    return await call


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)


def _await_result(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, _loops[0]).result()


def _items(call: Any) -> Iterator[Any]:
    items = aiter(call)
    try:
        while (item := _await_result(_next(items))) is not _END:
            yield item
    finally:
        _await_result(items.aclose())
