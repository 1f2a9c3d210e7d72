"""The HTTP front over real sockets: bounds, slow and leaving clients, draining; nothing a client sends ends the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator

import pytest

from dynamo.http import app as http_app
from dynamo.http import http_server, protocol
from dynamo.http.app import App
from dynamo.http.health import Health
from dynamo.http.http_server import HttpServer, open_listener
from dynamo.sdk.graph import EndpointSpec, ServiceSpec
from support.effort import points
from support.waiting import PATIENCE, eventually


class Front:
    def __init__(self) -> None:
        self.made = self.waiting = 0
        self.ended = asyncio.Event()
        self.go = asyncio.Event()
        self.next = asyncio.Event()

    async def echo(self, text: str = "x"):
        return text

    async def wait(self):
        self.waiting += 1
        await self.go.wait()
        return "waited"

    async def flood(self, parts: int = 1_000_000):
        try:
            for _ in range(parts):
                self.made += 1
                yield b"x" * 65536
        finally:
            self.ended.set()

    async def ticks(self):
        for number in range(5):
            yield {"number": number}
            await self.next.wait()
            self.next.clear()


def spec(**traffic) -> ServiceSpec:
    endpoints = tuple(
        EndpointSpec(name=name, method=name, transport="http") for name in ("echo", "wait", "flood", "ticks")
    )
    return ServiceSpec(name="Front", module="m", qualname="Front", endpoints=endpoints, traffic=traffic)


@contextlib.asynccontextmanager
async def served(front: Front | None = None, **traffic) -> AsyncIterator[tuple[HttpServer, int]]:
    listening = open_listener("127.0.0.1", 0)
    health = Health("Front")
    health.started = True
    one = HttpServer(App(spec(**traffic), front or Front(), health), listening, 2.0)
    port = listening.getsockname()[1]
    await one.start()
    try:
        yield one, port
    finally:
        await one.stop()
        listening.close()


def request(path: str, body: bytes = b"{}", *more: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"host: x", b"content-length: %d" % len(body), *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def sent(port: int, data: bytes) -> bytes:
    """All that the server answers until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever became of it."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def works(port: int) -> None:
    """The server still answers."""
    answer = await sent(port, request("/echo", b'{"text": "still here"}', b"connection: close"))
    assert answer.endswith(b"still here")


async def test_a_flood_of_headers():
    """Ends with 431 after 64 KiB, whatever its form; the server goes on."""
    async with served() as (_, port):
        one = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(60_000))
        assert (await sent(port, one)).startswith((b"HTTP/1.1 431", b""))
        two = b"POST /echo HTTP/1.1\r\nx: " + b"y" * 4_000_000
        assert (await sent(port, two)).startswith((b"HTTP/1.1 431", b""))
        three = b"POST /" + b"y" * 1_000_000
        await sent(port, three)
        await works(port)


async def test_a_large_head_is_told():
    """A client that reads sees why."""
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\n")
        for _ in range(9):
            writer.write(b"x: " + b"y" * 8192 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
        head, body = (await reader.read()).split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["error"]["code"] == "bad_request"
        await closed(writer)


async def test_slow_heads_and_bodies(monkeypatch):
    """A request that does not come to its end is closed with 408, a connection without one is closed."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(http_app, "BODY_SECONDS", 0.1)
    async with served() as (_, port):
        assert await sent(port, b"") == b""
        assert (await sent(port, b"POST /echo HTTP/1.1\r\n")).startswith(b"HTTP/1.1 408 ")
        answer = await sent(port, b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not come" in answer
        await works(port)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/echo", b"x" * 2000), b"413"),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (
            b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n"
            + b"x" * 2000
            + b"\r\n0\r\n\r\n",
            b"413",
        ),
        (request("/echo", b"not json", b"connection: close"), b"400"),
        (request("/echo", b'{"text": {"a": 1}}', b"connection: close"), b"400"),
        (request("/echo", b"[" * 900, b"connection: close"), b"400"),
        (request("/echo", b"\xff\xfe", b"connection: close"), b"400"),
        (request("/%00%ff/../x", b"", b"connection: close"), b"404"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"405"),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
    ],
)
async def test_bad_requests(data, status):
    """Each is a typed error, and the server goes on."""
    async with served(max_body=1000) as (_, port):
        answer = await sent(port, data)
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
        await works(port)


async def test_anything_at_all():
    """Valid requests with bytes changed, cut and doubled: no answer but a typed one, and the server goes on."""
    chance = random.Random(7)
    valid = [request("/echo", b'{"text": "x"}'), request("/ticks"), b"GET /docs?a=%zz HTTP/1.1\r\nhost: x\r\n\r\n"]

    def fuzzed() -> bytes:
        data = bytearray(chance.choice(valid))
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(1, 20)]
                case 2:
                    data[place:place] = data[: chance.randrange(60)]
                case _:
                    data[place:place] = chance.randbytes(chance.randrange(1, 20))
            if not data:
                return b"\0"
        return bytes(data)

    async def one(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(fuzzed())
            writer.write_eof()
            async with asyncio.timeout(20):
                answer = await reader.read()
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:100]
            assert not answer.startswith(b"HTTP/1.1 500"), answer
        await closed(writer)

    async with served() as (_, port):
        for _ in range(points(10, 400)):
            await asyncio.gather(*(one(port) for _ in range(20)))
        await works(port)


async def test_requests_above_the_limit_are_turned_away():
    """`max_concurrency`: the next one gets 503 at once and is told to come again; health pages are not counted."""
    front = Front()
    async with served(front, max_concurrency=2) as (_, port):
        first = [asyncio.ensure_future(sent(port, request("/wait", b"{}", b"connection: close"))) for _ in range(2)]
        await eventually(lambda: front.waiting == 2)
        answer = await sent(port, request("/wait", b"{}", b"connection: close"))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert b'"overloaded"' in answer
        assert (await sent(port, b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        metrics = await sent(port, b"GET /metrics HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert b'outcome="overloaded"' in metrics
        front.go.set()
        assert all(answer.endswith(b"waited") for answer in await asyncio.gather(*first))
        await works(port)


async def test_a_slow_reader_holds_the_work_up():
    """What a client does not read is not made: a stream stops after what fits into the buffers."""
    front = Front()
    async with served(front) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request("/flood"))
        made = 0
        while not front.made or made != front.made:
            made = front.made
            await asyncio.sleep(0.5)
        assert made < 400
        assert await reader.read(1000)
        await closed(writer)
        async with asyncio.timeout(PATIENCE):
            await front.ended.wait()


async def test_a_client_that_leaves_ends_the_work():
    """The generator is closed as soon as the connection is."""
    front = Front()
    async with served(front) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/flood"))
        await reader.read(1000)
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await front.ended.wait()
        await closed(writer)


async def test_items_come_one_by_one():
    """NDJSON lines arrive when they are made: the next one is not made before."""
    front = Front()
    async with served(front) as (_, port), asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/ticks"))
        await reader.readuntil(b"\r\n\r\n")
        for number in range(5):
            await reader.readline()
            assert json.loads(await reader.readline()) == {"number": number}
            await reader.readline()
            front.next.set()
        await closed(writer)


async def test_draining_hands_connections_over(monkeypatch):
    """When the server ends, a kept connection gets its next answer with `connection: close`, a running one its end."""
    front = Front()
    listening = open_listener("127.0.0.1", 0)
    one = HttpServer(App(spec(), front, Health("Front")), listening, 5.0)
    await one.start()
    port = listening.getsockname()[1]
    kept, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/echo", b'{"text": "first"}'))
    assert b"connection: close" not in await kept.readuntil(b"first")
    running = asyncio.ensure_future(sent(port, request("/wait")))
    await eventually(lambda: front.waiting)
    stopping = asyncio.ensure_future(one.stop())
    await asyncio.sleep(0.1)
    writer.write(request("/echo", b'{"text": "second"}'))
    answer = await kept.read()
    assert b"connection: close" in answer
    assert answer.endswith(b"second")
    await closed(writer)
    front.go.set()
    assert (await running).endswith(b"waited")
    await stopping
    assert http_server.LINGER_SECONDS > 0


async def test_the_page_of_routes():
    """`/docs` shows every route, loads nothing from elsewhere, and is well-formed enough to be read as HTML."""
    async with served() as (_, port):
        answer = await sent(port, b"GET /docs HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert b"content-type: text/html" in answer
        text = answer.decode().partition("\r\n\r\n")[2]
        for name in ("/echo", "/wait", "/flood", "/ticks"):
            assert f"</b> {name}</h2>" in text
        assert "http://" not in text
        assert "https://" not in text
        described = await sent(port, b"GET /openapi.json HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert set(json.loads(described.partition(b"\r\n\r\n")[2])["paths"]) == {"/echo", "/wait", "/flood", "/ticks"}
