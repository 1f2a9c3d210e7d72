"""What every transport does, seen through the public client: the same suite over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from dynamo.coordination.discovery import Instance, MemoryDiscovery, new_id
from dynamo.coordination.nats.connection import Nats
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.nats import NatsTransport
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.rpc.server import Dispatcher
from dynamo.rpc.tcp import TcpTransport
from dynamo.rpc.wire import Request
from dynamo.sdk.errors import BadRequest, Deadline, Internal, NotFound, Overloaded, Unavailable
from support.nats import nats_server
from support.waiting import PATIENCE, eventually


@pytest.fixture(scope="module")
def server():
    with nats_server() as running:
        yield running


@pytest.fixture(params=["memory", "tcp", pytest.param("nats", marks=pytest.mark.nats)])
async def transport(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        yield MemoryTransport()
    elif request.param == "tcp":
        yield TcpTransport("secret")
    else:
        connection = Nats(request.getfixturevalue("server").url)
        await connection.connect({})
        yield NatsTransport(connection, "secret")
        await connection.close()


class Question(BaseModel):
    text: str
    times: int = 1


class Worker:
    """A service with every kind of endpoint."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()
        self.sent = 0

    async def value(self, question: Question):
        return Question(text=question.text.upper(), times=question.times + 1)

    async def stream(self, question: Question):
        for number in range(question.times):
            yield f"{question.text} {number}"

    async def either(self, question: Question):
        return self.stream(question)

    def plain(self, question):
        return {"got": question}

    def generator(self, question: Question):
        yield from range(question.times)

    async def nothing(self):
        return None

    async def empty(self):
        for _ in ():
            yield _

    async def slow(self, question: Question):
        self.begun.set()
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def endless(self, question: Question):
        try:
            while True:
                yield question.text
                self.sent += 1
                await asyncio.sleep(0)
        finally:
            self.cancelled.set()

    async def broken(self, question: Question):
        raise ValueError("no good")

    async def breaks(self, question: Question):
        yield "one"
        raise KeyError("later")

    async def full(self, question: Question):
        raise Overloaded("not now")

    async def echo(self, data: bytes):
        return data

    async def models(self, question: Question):
        for number in range(question.times):
            yield Question(text=question.text, times=number)


@asynccontextmanager
async def running(transport: Any, workers: int = 1) -> AsyncIterator[tuple[Any, DistributedRuntime, list[Worker]]]:
    discovery = MemoryDiscovery()
    runtime = DistributedRuntime(transport, discovery)
    made, servings = [], []
    names = [name for name in vars(Worker) if not name.startswith("_")]
    for _ in range(workers):
        worker, dispatcher = Worker(), Dispatcher()
        for name in names:
            dispatcher.add_method(f"test/Worker/{name}", name, getattr(worker, name))
        serving = await transport.serve(dispatcher)
        instance = Instance(
            namespace="test", component="Worker", id=new_id(), address=serving.address, endpoints=tuple(names)
        )
        await discovery.register(instance)
        made.append(worker)
        servings.append((serving, instance))
    client = runtime.service("test", "Worker", {name: name for name in names})
    try:
        yield client, runtime, made
    finally:
        await runtime.close()
        for serving, _ in servings:
            await serving.drain(0.5)


async def test_value(transport):
    """An endpoint that returns gives its value, with fields by attribute and by key, for any form of request."""
    async with running(transport) as (client, _, _):
        for request in (Question(text="hi"), {"text": "hi"}, '{"text": "hi"}'):
            answer = await client.value(request)
            assert (answer.text, answer["times"]) == ("HI", 2)
        assert (await client.value(text="hi", times=4)).times == 5
        assert [item.text async for item in client.value({"text": "a"})] == ["A"]
        assert await client.nothing() is None
        assert await client.plain({"a": [1, None, 2.5]}) == {"got": {"a": [1, None, 2.5]}}
        assert await client.plain('{"a": 1}') == {"got": {"a": 1}}


async def test_stream(transport):
    """An endpoint that yields gives an async iterator, awaited or not; a coroutine that returns one streams too."""
    async with running(transport) as (client, _, _):
        wanted = ["a 0", "a 1", "a 2"]
        request = {"text": "a", "times": 3}
        assert [item async for item in client.stream(request)] == wanted
        assert [item async for item in await client.stream(request)] == wanted
        assert [item async for item in client.either(request)] == wanted
        assert [item async for item in client.generator(request)] == [0, 1, 2]
        assert [item async for item in client.empty()] == []
        assert [item async for item in await client.empty()] == []
        assert [item.times async for item in client.models(request)] == [0, 1, 2]


async def test_long_stream(transport):
    """Order and number hold over many windows, for many streams at once."""
    async with running(transport) as (client, _, _):

        async def one(count: int) -> None:
            items = [item async for item in client.stream({"text": "x", "times": count})]
            assert items == [f"x {number}" for number in range(count)]

        await asyncio.gather(*(one(3000 + index) for index in range(8)))


async def test_large(transport):
    """Payloads of many sizes come back unchanged."""
    async with running(transport) as (client, _, _):
        for size in (0, 1, 4095, 65536, 3_000_000):
            assert await client.echo(b"x" * size) == b"x" * size


async def test_errors(transport):
    """A handler's error arrives with its class, code and message; one in mid-stream ends the stream."""
    async with running(transport) as (client, _, _):
        with pytest.raises(Internal, match="ValueError: no good") as caught:
            await client.broken({"text": "a"})
        assert caught.value.kind == "ValueError"
        items = []
        with pytest.raises(Internal, match="KeyError"):
            async for item in client.breaks({"text": "a"}):
                items.append(item)
        assert items == ["one"]
        with pytest.raises(BadRequest, match="`text`"):
            await client.value({"wrong": 1})
        with pytest.raises(Overloaded, match="not now"):
            await client.full({"text": "a"})


async def test_unknown_endpoint(transport):
    """An endpoint that is not there is named, with those that are."""
    async with running(transport) as (client, runtime, _):
        with pytest.raises(AttributeError, match="`value`"):
            client.missing
        raw = await runtime.namespace("test").component("Worker").endpoint("missing").client()
        with pytest.raises(NotFound, match="has no endpoint `missing`"):
            await raw.generate({})


async def test_cancel(transport):
    """A caller that stops reading, or is cancelled, stops the handler."""
    async with running(transport) as (client, _, (worker,)):
        async for _ in client.endless({"text": "a"}):
            break
        await asyncio.wait_for(worker.cancelled.wait(), PATIENCE)
        worker.cancelled.clear()
        task = asyncio.ensure_future(_await(client.slow({"text": "a"})))
        await asyncio.wait_for(worker.begun.wait(), PATIENCE)
        task.cancel()
        await asyncio.wait_for(worker.cancelled.wait(), PATIENCE)


async def test_deadline(transport):
    """A call that takes longer than it may fails with Deadline, and its handler is stopped."""
    async with running(transport) as (client, _, (worker,)):
        with pytest.raises(Deadline):
            await client.slow({"text": "a"}, timeout=1)
        await asyncio.wait_for(worker.cancelled.wait(), PATIENCE)


async def test_slow_reader(transport):
    """A reader that does not read holds its own stream up, and no other."""
    async with running(transport) as (client, _, (worker,)):
        reply = client.endless({"text": "a"}).__aiter__()
        await reply.__anext__()
        sent = -1
        while sent != worker.sent:
            sent = worker.sent
            await asyncio.sleep(0.2)
        assert sent < 3000
        assert (await client.value({"text": "b"})).text == "B"
        await asyncio.sleep(0.05)
        assert worker.sent <= sent + 5
        await reply.aclose()


async def test_routing(transport):
    """The raw client routes at random, in turn, by load or to one instance; items have `.data()`."""
    async with running(transport, workers=3) as (_, runtime, _):
        client = await runtime.namespace("test").component("Worker").endpoint("value").client()
        ids = await client.wait_for_instances(3)
        assert ids == client.instance_ids()
        for call in (client.generate, client.random, client.round_robin, client.least_loaded, client.value):
            assert (await call({"text": "a"})).data() == {"text": "A", "times": 2}
        assert (await client.direct({"text": "a"}, ids[0])).text == "A"
        assert (await client.direct({"text": "a"}, str(ids[0]))).text == "A"
        with pytest.raises(NotFound, match="no instance 12"):
            await client.direct({"text": "a"}, 12)
        with pytest.raises(BadRequest):
            await client.direct({"text": "a"}, "first")
        stream = await runtime.namespace("test").component("Worker").endpoint("stream").client()
        items = [item async for item in await stream.round_robin({"text": "a", "times": 2})]
        assert [item.data() for item in items] == ["a 0", "a 1"]


async def test_least_loaded(transport):
    """Calls that wait for their first answer count: eight slow ones go to four workers by two."""
    async with running(transport, workers=4) as (_, runtime, _):
        client = await runtime.namespace("test").component("Worker").endpoint("slow").client()
        tasks = [asyncio.ensure_future(_await(client.least_loaded({"text": "a"}))) for _ in range(8)]
        load = runtime.get_callee("test", "Worker").load
        await eventually(lambda: sum(load.values()) == 8, lambda: load)
        assert sorted(load.values()) == [2, 2, 2, 2]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert set(load.values()) == {0}
        stream = await runtime.namespace("test").component("Worker").endpoint("endless").client()
        replies = [stream.least_loaded({"text": "a"}).__aiter__() for _ in range(4)]
        for reply in replies:
            await reply.__anext__()
        assert sorted(load.values()) == [1, 1, 1, 1]
        for reply in replies:
            await reply.aclose()
        with pytest.raises(Internal):
            await runtime.service("test", "Worker", {"broken": "broken"}).broken({"text": "a"})
        assert set(load.values()) == {0}


async def test_retry(transport):
    """A call to an instance that is not there goes to another one."""
    async with running(transport) as (client, runtime, _):
        gone = await transport.serve(Dispatcher())
        address = gone.address
        await gone.drain(0)
        for _ in range(4):
            await runtime.discovery.register(
                Instance(namespace="test", component="Worker", id=new_id(), address=address, endpoints=("value",))
            )
        for _ in range(10):
            assert (await client.value({"text": "a"})).text == "A"
        with pytest.raises(Unavailable):
            await (await transport.request(address, Request("a/b/c", msgspec.Raw(b"\xc0")))).receive_frame()


async def _await(call: Any) -> Any:
    return await call
