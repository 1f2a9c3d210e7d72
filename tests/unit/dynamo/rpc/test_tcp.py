"""What the TCP transport does with those who do not keep to the protocol."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
import uvloop

from dynamo.rpc import wire
from dynamo.rpc.server import Dispatcher
from dynamo.rpc.tcp import TcpTransport
from dynamo.sdk.errors import Unauthorized, Unavailable
from support.waiting import PATIENCE, eventually

REQUEST = wire.Request("a/b/c", msgspec.Raw(b"\xc0"))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on each loop: their transports differ."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def on_loop(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return on_loop


def test_answers_on_each_loop(run):
    """A request is answered."""

    async def body():
        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", lambda: 5)
        transport = TcpTransport("t")
        serving = await transport.serve(dispatcher)
        exchange = await transport.request(serving.address, REQUEST)
        assert await exchange.receive_frame() == (wire.VALUE, b"\x05")
        await transport.close()
        await serving.drain(1)

    run(body())


def test_a_wrong_token_is_refused(run):
    """Who does not know the token gets Unauthorized, and nothing is run."""

    async def body():
        ran = []
        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", lambda: ran.append(1))
        serving = await TcpTransport("right").serve(dispatcher)
        stranger = TcpTransport("wrong")
        with pytest.raises(Unauthorized, match="not this graph's"):
            await (await stranger.request(serving.address, REQUEST)).receive_frame()
        assert ran == []
        await stranger.close()
        await serving.drain(0)

    run(body())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.encode_frame(1, wire.REQUEST, wire.pack_message(REQUEST)),
        wire.encode_frame(0, wire.HELLO, b"junk"),
        wire.encode_frame(0, wire.HELLO, b"x" * 5000),
        wire.encode_frame(0, wire.HELLO, wire.pack_message(wire.Hello(99, "t"))),
        wire.encode_frame(0, wire.HELLO, wire.pack_message(wire.Hello(1, "t")))
        + wire.encode_frame(1, wire.REQUEST, b"junk"),
        wire.encode_frame(0, wire.HELLO, wire.pack_message(wire.Hello(1, "t"))) + b"\xff" * 20,
    ],
)
def test_strangers_are_cut_off(run, data):
    """Bytes that are not the protocol close the connection, and the worker goes on."""

    async def body():
        serving = await TcpTransport("t").serve(Dispatcher())
        host, _, port = serving.address.removeprefix("tcp://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        try:
            await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionResetError:
            pass
        writer.close()
        friend = TcpTransport("t")
        assert await friend.request(serving.address, REQUEST)
        await friend.close()
        await serving.drain(0)

    run(body())


def test_a_lost_worker_fails_every_open_request(run):
    """When the connection breaks, all that wait on it hear of it at once."""

    async def body():
        async def sleep():
            await asyncio.sleep(60)

        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", sleep)
        transport = TcpTransport("t")
        serving = await transport.serve(dispatcher)
        exchanges = [await transport.request(serving.address, REQUEST) for _ in range(3)]
        await asyncio.sleep(0.05)
        for connection in list(serving.connections):
            connection.abort("cut")
        for exchange in exchanges:
            with pytest.raises(Unavailable):
                await asyncio.wait_for(exchange.receive_frame(), PATIENCE)
        await transport.close()
        await serving.drain(0)

    run(body())


def test_a_draining_worker_refuses_and_finishes(run):
    """A drain lets running requests end and refuses new ones."""

    async def body():
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow():
            begun.set()
            await go.wait()
            return 1

        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", slow)
        transport = TcpTransport("t")
        serving = await transport.serve(dispatcher)
        running = await transport.request(serving.address, REQUEST)
        await begun.wait()
        drain = asyncio.ensure_future(serving.drain(PATIENCE))
        await asyncio.sleep(0.01)
        late = await transport.request(serving.address, REQUEST)
        with pytest.raises(Unavailable, match="shutting down"):
            await late.receive_frame()
        go.set()
        assert await running.receive_frame() == (wire.VALUE, b"\x01")
        await drain
        await transport.close()

    run(body())


def test_nobody_there(run):
    """An address where nobody listens is Unavailable."""

    async def body():
        with pytest.raises(Unavailable, match="cannot reach"):
            await TcpTransport("t").request("tcp://127.0.0.1:1", REQUEST)

    run(body())


def test_a_port_of_ones_own(run):
    """A worker listens where it is told, callers are told the name that they know; a taken port is one line."""

    async def body():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", lambda: 5)
        transport = TcpTransport("t", "127.0.0.1", "localhost", port)
        serving = await transport.serve(dispatcher)
        assert serving.address == f"tcp://localhost:{port}"
        exchange = await transport.request(serving.address, REQUEST)
        assert await exchange.receive_frame() == (wire.VALUE, b"\x05")
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}: "):
            await transport.serve(dispatcher)
        await transport.close()
        await serving.drain(0)

    run(body())


def test_what_is_cancelled_before_it_began_leaves_nothing(run):
    """A request and its cancellation that arrive together are both forgotten."""

    async def body():
        async def sleep():
            await asyncio.sleep(60)

        dispatcher = Dispatcher()
        dispatcher.add_method("a/b/c", "c", sleep)
        transport = TcpTransport("t")
        serving = await transport.serve(dispatcher)
        (await transport.request(serving.address, REQUEST)).close()
        await asyncio.sleep(0.1)
        await eventually(lambda: not serving.tasks)
        await transport.close()
        await serving.drain(0)

    run(body())
