"""Bytes from outside: whatever comes, errors are typed, and the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamo.coordination.discovery import Instance, MemoryDiscovery, new_id
from dynamo.rpc import wire
from dynamo.rpc.client_connection import CallerConnection
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.nats import NatsPipe, Outbox
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.rpc.server import Dispatcher
from dynamo.rpc.server_connection import FrameServing, WorkerConnection
from dynamo.sdk.errors import BadRequest, NotFound, RemoteError
from support.effort import points
from unit.dynamo.rpc.pipes import KeptPipe, fed

LOTS = settings(max_examples=points(60, 5000))
HELLO = wire.encode_frame(0, wire.HELLO, wire.pack_message(wire.Hello(wire.VERSION, "t")))


class Model(BaseModel):
    text: str
    count: int = 0
    tags: list[str] = []


class Service:
    """Endpoints of each kind."""

    async def value(self, request: Model):
        return request

    async def stream(self, request: Model):
        for number in range(min(request.count, 3)):
            yield number

    async def several(self, a: int, b: str = "x"):
        return [a, b]

    async def anything(self, request: Any):
        return request

    async def text(self, request: str):
        return request


NAMES = ("value", "stream", "several", "anything", "text")


def dispatcher() -> Dispatcher:
    made = Dispatcher()
    for name in NAMES:
        made.add_method(f"n/C/{name}", name, getattr(Service(), name))
    return made


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(plain.map(msgspec.msgpack.encode), st.binary(max_size=40))
requests = st.builds(
    lambda path, body, timeout, headers: msgspec.msgpack.encode([path, msgspec.Raw(body), timeout, headers]),
    st.sampled_from([f"n/C/{name}" for name in NAMES]) | st.text(max_size=20),
    plain.map(msgspec.msgpack.encode),
    st.sampled_from([0.0, 0.001, 5.0, -1.0, 1e300, math.inf, -math.inf, math.nan]),
    st.dictionaries(
        st.sampled_from(["x-request-id", "traceparent", "tracestate"]) | st.text(max_size=4), st.text(max_size=60)
    ),
)
failures = st.builds(
    lambda code, message, kind: msgspec.msgpack.encode([code, message, kind]),
    st.text(max_size=9) | st.sampled_from(["internal", "unavailable"]),
    st.text(max_size=9),
    st.text(max_size=9),
)
frames = st.builds(
    wire.encode_frame,
    st.integers(0, 4) | st.just(2**32 - 1),
    st.integers(0, wire.ITEMS + 1),
    requests | bodies | failures | st.binary(max_size=12),
)
cut_places = st.lists(st.integers(0, 2000), max_size=6)


@contextlib.contextmanager
def a_loop():
    """Run things on a loop; anything that nobody caught fails the test."""
    with asyncio.Runner() as runner:
        said: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, about: said.append(about))
        yield runner.run
        gc.collect(0)
        assert said == []


@LOTS
@given(st.lists(frames, max_size=8), st.binary(max_size=30), cut_places, st.booleans())
def test_a_worker_reads_anything(sent, tail, cuts, known):
    """A caller that sends what it likes gets typed errors or loses its connection; the next one is served."""

    async def body() -> None:
        serving = FrameServing(dispatcher(), "t")
        for hostile in (True, False):
            pipe, connection = KeptPipe(), WorkerConnection(serving)
            connection.attach_pipe(pipe)
            if hostile:
                fed(connection, pipe, (HELLO if known else b"") + b"".join(sent) + tail, cuts)
            else:
                request = wire.Request("n/C/text", msgspec.Raw(b"\xa2hi"))
                connection.data_received(HELLO + wire.encode_frame(7, wire.REQUEST, wire.pack_message(request)))
            for _ in range(20):
                await asyncio.sleep(0)
            if not hostile:
                assert pipe.frames() == [(7, wire.VALUE, b"\xa2hi")]
            elif not pipe.closed:
                for _, kind, payload in pipe.frames():
                    if kind == wire.ERROR:
                        assert wire.unpack_message(wire.Failure, payload).code != "internal"
            connection.connection_lost(None)
        await serving.drain(0)
        assert not serving.tasks

    with a_loop() as run:
        run(body())


@LOTS
@given(st.lists(frames, max_size=8), st.binary(max_size=30), cut_places)
def test_a_caller_reads_anything(sent, tail, cuts):
    """A worker that sends what it likes makes its calls end with a value or a RemoteError, and nothing else."""

    async def body() -> None:
        runtime, pipe = DistributedRuntime(Hostile(), MemoryDiscovery()), KeptPipe()
        connection = runtime.transport.connection = CallerConnection("t")
        connection.attach_pipe(pipe)
        await runtime.discovery.register(
            Instance(namespace="n", component="C", id=new_id(), address="", endpoints=("value", "stream"))
        )
        client = runtime.service("n", "C", {"value": "value", "stream": "stream"}, 0.03)
        calls = [asyncio.ensure_future(ended(client.value(1))), asyncio.ensure_future(read(client.stream(1)))]
        for _ in range(5):
            await asyncio.sleep(0)
        fed(connection, pipe, b"".join(sent) + tail, cuts)
        await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.gather(*calls)

    with a_loop() as run:
        run(body())


class Hostile(MemoryTransport):
    """A transport with one connection."""

    connection: CallerConnection

    def begin(self, address, request):
        return self.connection.start_request(request)


async def ended(call) -> None:
    try:
        await call
    except RemoteError:
        return


async def read(call) -> None:
    try:
        async for _ in call:
            pass
    except RemoteError:
        return


@LOTS
@given(st.lists(st.binary(max_size=20), max_size=8), st.booleans())
def test_messages_of_the_nats_plane(messages, numbered):
    """Messages that are none of the other end's end the connection, and nothing else."""

    class Message:
        headers = None

        def __init__(self, data: bytes) -> None:
            self.data = data

    class Kept(Outbox):
        def __init__(self) -> None:
            self.kept: list[bytes] = []

        def put_message(self, pipe, message: bytes) -> None:
            self.kept.append(message)

    async def body() -> None:
        connection = WorkerConnection(FrameServing(dispatcher(), "t"))
        pipe = NatsPipe(Kept(), connection, "here", "there")
        connection.attach_pipe(pipe)
        for number, data in enumerate(messages):
            pipe.receive_message(Message(number.to_bytes(4, "big") + data if numbered else data))
        await asyncio.sleep(0)
        pipe.close()
        await asyncio.sleep(0)

    with a_loop() as run:
        run(body())


@LOTS
@given(st.sampled_from(NAMES), plain)
def test_wrong_types(name, value):
    """What does not fit an endpoint is a bad request that names the place, never a failure of the handler."""

    async def body() -> None:
        transport, discovery = MemoryTransport(), MemoryDiscovery()
        runtime = DistributedRuntime(transport, discovery)
        serving = await transport.serve(dispatcher())
        await discovery.register(
            Instance(namespace="n", component="C", id=new_id(), address=serving.address, endpoints=NAMES)
        )
        client = runtime.service("n", "C", {name: name for name in NAMES})
        try:
            async for _ in client[name](value):
                pass
        except BadRequest as error:
            assert "Traceback" not in error.message
        raw = await runtime.namespace("n").component("C").endpoint("other").client()
        with pytest.raises(NotFound):
            await raw.generate(value)
        await runtime.close()

    with a_loop() as run:
        run(body())


@pytest.mark.parametrize("size", [wire.LARGEST + 1, 2**32 - 1])
def test_a_frame_that_is_too_large_is_refused_by_its_head(size):
    """Nothing is read or kept of it."""

    async def body() -> None:
        pipe, connection = KeptPipe(), WorkerConnection(FrameServing(dispatcher(), "t"))
        connection.attach_pipe(pipe)
        connection.data_received(HELLO)
        connection.data_received(wire.HEADER.pack(size, 1, wire.REQUEST))
        assert pipe.closed

    with a_loop() as run:
        run(body())


def test_many_strangers_cost_little():
    """Connections that never say hello are cut after a time, and may hold a few kilobytes until then."""

    async def body() -> None:
        serving = FrameServing(dispatcher(), "t")
        pipes = []
        for _ in range(200):
            pipe, connection = KeptPipe(), WorkerConnection(serving)
            connection.attach_pipe(pipe)
            connection.data_received(wire.HEADER.pack(5000, 0, wire.HELLO))
            pipes.append(pipe)
        assert all(pipe.closed for pipe in pipes)

    with a_loop() as run:
        run(body())
