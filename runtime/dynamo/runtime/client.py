"""Calls of other services: found by discovery, routed to an instance, retried where nothing was answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any

import msgspec

from dynamo.runtime import context, naming, payload
from dynamo.runtime.discovery import Instance, Watch
from dynamo.runtime.routing import Component, Pick
from dynamo.runtime.transport import END, ITEM, ITEMS, VALUE, Exchange
from dynamo.runtime.wire import Request, items_of
from dynamo.sdk.errors import Deadline, Internal, NotFound, RemoteError, Unavailable

PATIENCE_SECONDS = 10.0
"""How long a call waits for an instance to appear."""
ATTEMPTS = 16
"""How often a call is sent at most, when connections are lost before its answer begins."""


class Call:
    """A call that was not sent yet. Awaiting it sends it and gives the value, or an async iterator where the endpoint
    yields; iterating it sends it and gives the items, or the one value.
    """

    __slots__ = ("_attempts", "_body", "_component", "_direct", "_endpoint", "_pick", "_timeout", "_until", "wrap")

    def __init__(
        self,
        component: Component,
        endpoint: str,
        body: bytes,
        pick: Pick,
        *,
        direct: int | None = None,
        timeout: float = 0.0,
        wrap: Callable[[Any], Any] = payload.value_of,
    ) -> None:
        self._component = component
        self._endpoint = endpoint
        self._body = body
        self._pick = pick
        self._direct = direct
        self._timeout = timeout or component.timeout
        self._until = 0.0
        self._attempts = 0
        self.wrap = wrap

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return Reply(self)

    async def _result(self) -> Any:
        reply = Reply(self)
        kind, body = await reply.begin()
        return reply.wrapped(body) if kind == VALUE else reply

    async def send(self) -> tuple[Exchange, int, bytes, Instance]:
        """Send it to an instance that answers: the exchange, and its first frame. Raises RemoteError.

        The instance's load counts it until the exchange is finished; that is for the caller to take back.
        """
        loop = asyncio.get_running_loop()
        headers, left = context.outgoing()
        timeout = min(value for value in (self._timeout, left) if value) if self._timeout or left else 0.0
        if timeout < 0:
            raise Deadline("the time of the call was up before it was sent")
        if timeout and not self._until:
            self._until = loop.time() + timeout
        until = self._until
        patience = min(until, loop.time() + PATIENCE_SECONDS) if until else loop.time() + PATIENCE_SECONDS
        path = naming.path(self._component.namespace, self._component.component, self._endpoint)
        watch, load = await self._component.watch(), self._component.load
        tried: set[int] = set()
        failure: RemoteError | None = None
        while True:
            instance = await self._choose(watch, tried, patience, failure)
            request = Request(path, msgspec.Raw(self._body), max(until - loop.time(), 0.001) if until else 0.0, headers)
            exchange = None
            load[instance.id] = load.get(instance.id, 0) + 1
            try:
                exchange = await self._component.transport.request(instance.address, request)
                if until:
                    exchange.expire(until, Deadline(f"no answer within {timeout:.3g} s"))
                kind, body = await exchange.receive()
                return exchange, kind, body, instance
            except RemoteError as error:
                load[instance.id] -= 1
                failure = error
                if not self.again(error, instance.id, watch) or self._direct is not None:
                    raise
                tried.add(instance.id)
            except BaseException:
                load[instance.id] -= 1
                if exchange is not None:
                    exchange.close()
                raise

    def again(self, error: RemoteError, instance: int, watch: Watch | None = None) -> bool:
        """Whether a call that failed so before its first item may be tried elsewhere; that instance is set aside."""
        # An error that a handler raised carries its class: that is an answer, and trying again is not for us.
        if not error.retryable or error.kind:
            return False
        watch = watch or self._component.started
        if watch is not None:
            watch.set_aside(instance)
        self._attempts += 1
        return self._attempts < ATTEMPTS

    async def _choose(self, watch: Watch, tried: set[int], until: float, failure: RemoteError | None) -> Instance:
        loop = asyncio.get_running_loop()
        while True:
            instances = watch.instances(self._endpoint)
            if self._direct is not None:
                instances = [instance for instance in instances if instance.id == self._direct]
            elif tried:
                instances = [instance for instance in instances if instance.id not in tried] or instances
            if instances:
                return self._pick(instances)
            known = watch.instances()
            if known and self._direct is not None:
                raise NotFound(f"{self._name()} has no instance {self._direct}")
            if known and not failure and not any(self._endpoint in instance.endpoints for instance in known):
                names = ", ".join(f"`{name}`" for name in sorted({name for item in known for name in item.endpoints}))
                raise NotFound(f"{self._component.component} has no endpoint `{self._endpoint}`; it has {names}")
            left = until - loop.time()
            if left <= 0:
                raise failure or Unavailable(f"no instance of {self._name()} is running")
            await watch.changed(min(left, 0.5))

    def _name(self) -> str:
        return naming.path(self._component.namespace, self._component.component, self._endpoint)

    def wrapped(self, body: bytes) -> Any:
        """A payload as the caller sees it."""
        return self.wrap(decoded(body))

    @property
    def load(self) -> dict[int, int]:
        """The calls of this process that run, by instance."""
        return self._component.load


class Reply:
    """The answer of a call as an async iterator. Dropping or closing it early cancels the handler."""

    __slots__ = ("_call", "_exchange", "_instance", "_items", "_single", "_wrap", "_yielded")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._exchange: Exchange | None = None
        self._instance = 0
        self._items: Iterator[Any] = iter(())
        self._wrap = call.wrap
        self._single = False
        self._yielded = False

    async def begin(self) -> tuple[int, bytes]:
        """Send the call; its first frame."""
        exchange, kind, body, instance = await self._call.send()
        self._exchange = exchange
        self._instance = instance.id
        if kind == VALUE:
            self._leave()
        return kind, body

    def wrapped(self, body: bytes) -> Any:
        """A payload as the caller sees it."""
        return self._call.wrapped(body)

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return self._wrap(item)
        if self._exchange is None:
            kind, body = await self.begin()
            if kind == VALUE:
                self._single = True
                return self._call.wrapped(body)
        if self._single:
            raise StopAsyncIteration
        while True:
            assert self._exchange is not None
            try:
                kind, body = await self._exchange.receive()
            except RemoteError as error:
                instance = self._instance
                self._leave()
                if self._yielded or not self._call.again(error, instance):
                    raise
                await self.begin()
                continue
            if kind == ITEM:
                self._yielded = True
                return self._call.wrapped(body)
            if kind == ITEMS:
                self._yielded = True
                self._items = iter(decoded(items_of(body)))
                return self._wrap(next(self._items))
            if kind == END:
                self._leave()
                raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop: the handler is cancelled when it still runs."""
        self._stop()

    def _stop(self) -> None:
        self._items = iter(())
        if self._exchange is not None:
            self._exchange.close()
        self._leave()

    def _leave(self) -> None:
        if self._instance:
            self._call.load[self._instance] -= 1
            self._instance = 0

    def __del__(self) -> None:
        if self._exchange is not None and not self._exchange.finished:
            self._stop()


class EndpointCaller:
    """One endpoint of another service: `await caller(request)`, or `async for item in caller(request)`."""

    __slots__ = ("_component", "_endpoint", "_timeout")

    def __init__(self, component: Component, endpoint: str, timeout: float = 0.0) -> None:
        self._component = component
        self._endpoint = endpoint
        self._timeout = timeout

    def __call__(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        body = payload.encode(body_of(request, keys, self._endpoint))
        return Call(self._component, self._endpoint, body, self._component.random, timeout=timeout or self._timeout)


class ServiceClient:
    """What a `depends` is at run time: each endpoint of the other service is an attribute."""

    def __init__(self, component: Component, endpoints: Mapping[str, str], timeout: float = 0.0) -> None:
        self._component = component
        self._endpoints = dict(endpoints)
        self._timeout = timeout

    def __getattr__(self, name: str) -> EndpointCaller:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            caller = EndpointCaller(self._component, self._endpoints[name], self._timeout)
        except KeyError:
            known = ", ".join(f"`{endpoint}`" for endpoint in self._endpoints) or "none"
            raise AttributeError(f"`{self._component.component}` has no endpoint `{name}`; it has {known}") from None
        self.__dict__[name] = caller
        return caller

    def __getitem__(self, name: str) -> EndpointCaller:
        return EndpointCaller(self._component, name, self._timeout)

    async def get_endpoint(self, name: str) -> EndpointCaller:
        """The caller of the endpoint of that name, which may hold `/`."""
        return self[name]


def decoded(body: bytes | memoryview) -> Any:
    """A payload of an answer as plain values. Raises Internal when it is none."""
    try:
        return payload.decode(body)
    except (ValueError, RecursionError) as error:
        raise Internal(f"the answer is not MessagePack: {error}") from error


def body_of(request: tuple[Any, ...], keys: Mapping[str, Any], endpoint: str) -> Any:
    """What a call sends: its one argument, or its keywords as an object. Raises TypeError for more than one."""
    if len(request) > 1:
        raise TypeError(f"`{endpoint}` takes one request, not {len(request)}; pass several by keyword or in a model")
    if request and keys:
        raise TypeError(f"`{endpoint}` takes a request or keywords, not both")
    if request:
        return request[0]
    return dict(keys) if keys else None
