"""Calls of other services: found by discovery, routed to an instance, retried where nothing was answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any

import msgspec

from dynamo.coordination.discovery import Instance, Watch
from dynamo.messages import naming, payload
from dynamo.rpc import call_context
from dynamo.rpc.balancing import Component, Pick
from dynamo.rpc.transport import END, ITEM, ITEMS, VALUE, Exchange
from dynamo.rpc.wire import Request, items_of
from dynamo.sdk.errors import Deadline, Internal, NotFound, RemoteError, Unavailable

PATIENCE_SECONDS = 10.0
"""How long a call waits for an instance to appear."""
LATE_ATTEMPTS = 3
"""How often a call is sent again after that time, when connections are lost before its answer begins."""
AGAIN_SECONDS = 3.0
"""How long a call that has to be sent again waits at least for an instance."""


class Call:
    """A call that was not sent yet. Awaiting it sends it and gives the value, or an async iterator where the endpoint
    yields; iterating it sends it and gives the items, or the one value.
    """

    __slots__ = (
        "_attempts",
        "_begun",
        "_body",
        "_component",
        "_direct",
        "_endpoint",
        "_pick",
        "_timeout",
        "_until",
        "wrap",
    )

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
        self._begun = 0.0
        self._attempts = 0
        self.wrap = wrap

    def __await__(self) -> Generator[Any, None, Any]:
        return self._fetch_result().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return Reply(self)

    async def _fetch_result(self) -> Any:
        exchange, kind, body, instance = await self.send_request()
        if kind == VALUE:
            self._component.load[instance] -= 1
            return self.decode_value(body)
        return Reply(self, exchange, instance)

    async def send_request(self) -> tuple[Exchange, int, bytes, int]:
        """Send it to an instance that answers: the exchange, its first frame, and the instance. Raises RemoteError.

        The instance's load counts it until the exchange is finished; that is for the caller to take back.
        """
        component = self._component
        now = asyncio.get_running_loop().time()
        headers, left = call_context.build_outgoing_headers()
        timeout = self._timeout
        if left and (left < timeout or not timeout):
            timeout = left
            if left < 0:
                raise Deadline("the time of the call was up before it was sent")
        if not self._begun:
            self._begun = now
            self._until = now + timeout if timeout else 0.0
        watch, load, path = (
            component.active_watch or await component.open_watch(),
            component.load,
            component.format_path(self._endpoint),
        )
        tried: set[int] = set()
        failure: RemoteError | None = None
        while True:
            instances = watch.list_instances(self._endpoint) if not tried and self._direct is None else None
            instance = self._pick(instances) if instances else await self._choose_instance(watch, tried, failure)
            number = instance.id
            request = Request(path, msgspec.Raw(self._body), self._get_remaining(), headers)
            exchange = None
            load[number] = load.get(number, 0) + 1
            try:
                exchange = component.transport.begin(instance.address, request)
                if exchange is None:
                    exchange = await component.transport.request(instance.address, request)
                if self._until:
                    exchange.expire_at(self._until, timeout)
                kind, body = await exchange.receive_frame()
                return exchange, kind, body, number
            except RemoteError as error:
                load[number] -= 1
                failure = error
                if not self.should_retry(error, number, watch) or self._direct is not None:
                    raise
                tried.add(number)
            except BaseException:
                load[number] -= 1
                if exchange is not None:
                    exchange.close()
                raise

    def decode_value(self, body: bytes) -> Any:
        """A payload as the caller sees it. Raises Internal when it is none."""
        try:
            return self.wrap(payload.decode(body))
        except (ValueError, RecursionError) as error:
            raise Internal(f"the answer cannot be read: {error}") from error

    def _get_remaining(self) -> float:
        return max(self._until - asyncio.get_running_loop().time(), 0.001) if self._until else 0.0

    def should_retry(self, error: RemoteError, instance: int, watch: Watch | None = None) -> bool:
        """Whether a call that failed so before its first item may be tried elsewhere; that instance is set aside."""
        # An error that a handler raised carries its class: that is an answer, and trying again is not for us.
        if not error.retryable or error.kind:
            return False
        watch = watch or self._component.active_watch
        if watch is not None:
            watch.set_aside(instance)
        if asyncio.get_running_loop().time() > self._begun + PATIENCE_SECONDS:
            self._attempts += 1
        return self._attempts <= LATE_ATTEMPTS

    async def _choose_instance(self, watch: Watch, tried: set[int], failure: RemoteError | None) -> Instance:
        loop = asyncio.get_running_loop()
        until = self._begun + PATIENCE_SECONDS
        if failure is not None:
            until = max(until, loop.time() + AGAIN_SECONDS)
        if self._until:
            until = min(until, self._until)
        while True:
            instances = watch.list_instances(self._endpoint)
            if self._direct is not None:
                instances = [instance for instance in instances if instance.id == self._direct]
            elif tried:
                instances = [instance for instance in instances if instance.id not in tried] or instances
            if instances:
                return self._pick(instances)
            known = watch.list_instances()
            if known and self._direct is not None:
                raise NotFound(f"{self._format_path()} has no instance {self._direct}")
            if known and not failure and not any(self._endpoint in instance.endpoints for instance in known):
                names = ", ".join(f"`{name}`" for name in sorted({name for item in known for name in item.endpoints}))
                raise NotFound(f"{self._component.component} has no endpoint `{self._endpoint}`; it has {names}")
            left = until - loop.time()
            if left <= 0:
                raise failure or Unavailable(f"no instance of {self._format_path()} is running")
            await watch.wait_for_change(min(left, 0.5))

    def _format_path(self) -> str:
        return naming.format_path(self._component.namespace, self._component.component, self._endpoint)

    @property
    def load(self) -> dict[int, int]:
        """The calls of this process that run, by instance."""
        return self._component.load


class Reply:
    """The answer of a call as an async iterator. Dropping or closing it early cancels the handler."""

    __slots__ = ("_call", "_exchange", "_instance", "_items", "_single", "_wrap", "_yielded")

    def __init__(self, call: Call, exchange: Exchange | None = None, instance: int = 0) -> None:
        self._call = call
        self._exchange = exchange
        self._instance = instance
        self._items: Iterator[Any] = iter(())
        self._wrap = call.wrap
        self._single = False
        self._yielded = False

    async def _send_call(self) -> tuple[int, bytes]:
        self._exchange, kind, body, self._instance = await self._call.send_request()
        return kind, body

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return self._wrap(item)
        if self._exchange is None:
            kind, body = await self._send_call()
            if kind == VALUE:
                self._release_instance()
                self._single = True
                return self._call.decode_value(body)
        if self._single:
            raise StopAsyncIteration
        while True:
            assert self._exchange is not None
            try:
                kind, body = await self._exchange.receive_frame()
            except RemoteError as error:
                instance = self._instance
                self._release_instance()
                if self._yielded or not self._call.should_retry(error, instance):
                    raise
                await self._send_call()
                continue
            if kind == ITEM:
                self._yielded = True
                return self._call.decode_value(body)
            if kind == ITEMS:
                self._yielded = True
                self._items = iter(decode_items(body))
                for item in self._items:
                    return self._wrap(item)
            if kind == END:
                self._release_instance()
                raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop: the handler is cancelled when it still runs."""
        self._stop_reading()

    def _stop_reading(self) -> None:
        self._items = iter(())
        if self._exchange is not None:
            self._exchange.close()
        self._release_instance()

    def _release_instance(self) -> None:
        if self._instance:
            self._call.load[self._instance] -= 1
            self._instance = 0

    def __del__(self) -> None:
        if self._exchange is not None and not self._exchange.finished:
            self._stop_reading()


class EndpointCaller:
    """One endpoint of another service: `await caller(request)`, or `async for item in caller(request)`."""

    __slots__ = ("_component", "_endpoint", "_timeout")

    def __init__(self, component: Component, endpoint: str, timeout: float = 0.0) -> None:
        self._component = component
        self._endpoint = endpoint
        self._timeout = timeout

    def __call__(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        value = request[0] if len(request) == 1 and not keys else body_of(request, keys, self._endpoint)
        component = self._component
        return Call(
            component, self._endpoint, payload.encode(value), component.pick_random, timeout=timeout or self._timeout
        )


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


def decode_items(body: bytes) -> list[Any]:
    """The items of a frame. Raises Internal when it holds none."""
    try:
        found = payload.decode(items_of(body))
    except (ValueError, RecursionError) as error:
        raise Internal(f"the answer cannot be read: {error}") from error
    if type(found) is not list:
        raise Internal("the answer cannot be read: not a list of items")
    return found


def body_of(request: tuple[Any, ...], keys: Mapping[str, Any], endpoint: str) -> Any:
    """What a call sends: its one argument, or its keywords as an object. Raises TypeError for more than one."""
    if len(request) > 1:
        raise TypeError(f"`{endpoint}` takes one request, not {len(request)}; pass several by keyword or in a model")
    if request and keys:
        raise TypeError(f"`{endpoint}` takes a request or keywords, not both")
    if request:
        return request[0]
    return dict(keys) if keys else None
