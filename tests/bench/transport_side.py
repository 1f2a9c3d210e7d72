"""The two processes of bench_transport: `transport_side.py ours|bare|peer worker|caller [ADDRESS]`.

The caller reads `[case, seconds]` lines and answers each with its figures. Runs in the peer's environment too.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import struct
import sys
import time

from pydantic import BaseModel

ITEMS = 100
TEXT = "x" * 64
CHUNK = b"y" * 64


class Question(BaseModel):
    """What a call asks."""

    text: str
    count: int = 0


class Token(BaseModel):
    """One item of a stream."""

    i: int
    token: str


async def measured(one, callers: int, seconds: float) -> dict[str, float]:
    """Closed loops of `one`, which returns its number of items and when the first came."""
    taken: list[tuple[float, float]] = []
    items = 0
    until = time.perf_counter() + seconds

    async def loop() -> None:
        nonlocal items
        while (begun := time.perf_counter()) < until:
            count, first = await one()
            items += count
            taken.append((first - begun, time.perf_counter() - begun))

    begun = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(callers)))
    spent = time.perf_counter() - begun
    firsts, wholes = sorted(item[0] for item in taken), sorted(item[1] for item in taken)
    return {
        "rate": items / spent,
        "count": items,
        "first": firsts[len(firsts) // 2] * 1000,
        "p99": wholes[int(len(wholes) * 0.99)] * 1000,
    }


async def answer_cases(unary, stream, chunks) -> None:
    """Answer the driver's lines until it closes the pipe."""
    loop = asyncio.get_running_loop()
    kinds = {"unary": unary, "pydantic": stream, "bytes": chunks}
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        case, seconds = json.loads(line)
        kind, callers = case.split()
        print(json.dumps(await measured(kinds[kind], int(callers), seconds)), flush=True)


async def consumed(items, count: int) -> tuple[int, float]:
    """Read a stream to its end."""
    seen, first = 0, 0.0
    async for _ in items:
        if not seen:
            first = time.perf_counter()
        seen += 1
    assert seen == count, seen
    return seen, first


def ours(role: str) -> None:
    """The public API: a service's methods behind a Dispatcher; a client of its endpoints with a deadline."""
    import uvloop

    from dynamo.coordination.discovery import Instance, new_id
    from dynamo.messages import naming
    from dynamo.rpc import call_context
    from dynamo.rpc import runtime as distributed
    from dynamo.rpc.server import Dispatcher

    class Service:
        async def unary(self, question: Question) -> Question:
            return Question(text=question.text)

        async def stream(self, question: Question):
            for number in range(question.count):
                yield Token(i=number, token="tok")

        async def chunks(self, question: Question):
            for _ in range(question.count):
                yield CHUNK

    names = ("unary", "stream", "chunks")
    component = f"Bench-{os.environ['DYN_REQUEST_PLANE']}"

    async def worker() -> None:
        async with await distributed.connect({**os.environ, "DYNAMO_TRANSPORT_TOKEN": "shared"}) as runtime:
            dispatcher, service = Dispatcher(), Service()
            for name in names:
                dispatcher.add_method(naming.format_path("bench", component, name), name, getattr(service, name))
            serving = await runtime.transport.serve(dispatcher)
            instance = Instance(
                namespace="bench", component=component, id=new_id(), address=serving.address, endpoints=names
            )
            await runtime.discovery.register(instance)
            print(serving.address, flush=True)
            await asyncio.Event().wait()

    async def caller() -> None:
        async with await distributed.connect({**os.environ, "DYNAMO_TRANSPORT_TOKEN": "shared"}) as runtime:
            client = runtime.service("bench", component, {name: name for name in names}, 30.0)
            call_context.current.set(
                call_context.CallContext(request_id="bench-1", traceparent=call_context.new_trace())
            )

            async def unary() -> tuple[int, float]:
                answer = await client.unary(Question(text=TEXT))
                assert answer.text == TEXT
                return 1, time.perf_counter()

            await answer_cases(
                unary,
                lambda: consumed(client.stream(Question(text=TEXT, count=ITEMS)), ITEMS),
                lambda: consumed(client.chunks(Question(text=TEXT, count=ITEMS)), ITEMS),
            )

    uvloop.run(worker() if role == "worker" else caller())


def bare(role: str, address: str) -> None:
    """The same messages with nothing around them: one connection, a number before each, MessagePack."""
    import msgspec
    import uvloop

    encode, decode, head = msgspec.msgpack.encode, msgspec.msgpack.decode, struct.Struct("!II")

    def frames(buffer: bytearray):
        at = 0
        while len(buffer) - at >= 8:
            size, stream = head.unpack_from(buffer, at)
            if len(buffer) - at - 8 < size:
                break
            yield stream, decode(memoryview(buffer)[at + 8 : at + 8 + size])
            at += 8 + size
        del buffer[:at]

    class Wire(asyncio.Protocol):
        def __init__(self, on_frame) -> None:
            self.on_frame, self.buffer, self.out = on_frame, bytearray(), []

        def connection_made(self, transport) -> None:
            self.transport = transport

        def data_received(self, data) -> None:
            self.buffer += data
            for stream, value in frames(self.buffer):
                self.on_frame(self, stream, value)

        def send(self, stream: int, value: object) -> None:
            if not self.out:
                asyncio.get_running_loop().call_soon(self.flush)
            body = encode(value)
            self.out.append(head.pack(len(body), stream) + body)

        def flush(self) -> None:
            self.transport.write(b"".join(self.out))
            self.out.clear()

    def serve(wire: Wire, stream: int, value: list) -> None:
        kind, text, count = value
        if kind == "unary":
            wire.send(stream, {"text": text, "count": 0})
            return
        for number in range(count):
            wire.send(stream, CHUNK if kind == "bytes" else {"i": number, "token": "tok"})

    async def worker() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Wire(serve), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def caller() -> None:
        waiting: dict[int, tuple[int, asyncio.Future]] = {}
        counts: dict[int, list] = {}
        numbers = iter(range(1 << 30))

        def take(_: Wire, stream: int, value: object) -> None:
            seen = counts[stream]
            seen[1] = seen[1] or time.perf_counter()
            seen[0] += 1
            wanted, done = waiting[stream]
            if seen[0] == wanted:
                done.set_result(None)

        _, wire = await asyncio.get_running_loop().create_connection(lambda: Wire(take), "127.0.0.1", int(address))

        async def call(kind: str, wanted: int) -> tuple[int, float]:
            stream = next(numbers)
            counts[stream] = [0, 0.0]
            waiting[stream] = (wanted, asyncio.get_running_loop().create_future())
            wire.send(stream, [kind, TEXT, wanted])
            await waiting[stream][1]
            del waiting[stream]
            return tuple(counts.pop(stream))

        await answer_cases(lambda: call("unary", 1), lambda: call("pydantic", ITEMS), lambda: call("bytes", ITEMS))

    uvloop.run(worker() if role == "worker" else caller())


def peer(role: str) -> None:
    """The peer's bindings, used as its documents show."""
    uvloop = importlib.import_module("uvloop")
    api = importlib.import_module("dynamo.runtime")
    uvloop.install()

    async def unary(request, context=None):
        yield {"text": request["text"]}

    async def stream(request, context=None):
        for number in range(request["n"]):
            yield {"i": number, "token": "tok"}

    def endpoint(runtime, name):
        if hasattr(runtime, "namespace"):  # 0.x
            return runtime.namespace("bench").component("echo").endpoint(name)
        return runtime.endpoint(f"bench.echo.{name}")

    @api.dynamo_worker()
    async def worker(runtime) -> None:
        if hasattr(runtime, "namespace"):
            await runtime.namespace("bench").component("echo").create_service()
        print("up", flush=True)
        await asyncio.gather(
            endpoint(runtime, "unary").serve_endpoint(unary), endpoint(runtime, "stream").serve_endpoint(stream)
        )

    @api.dynamo_worker()
    async def caller(runtime) -> None:
        one, many = await endpoint(runtime, "unary").client(), await endpoint(runtime, "stream").client()
        await asyncio.wait_for(one.wait_for_instances(), 20)
        await asyncio.wait_for(many.wait_for_instances(), 20)

        async def call_one() -> tuple[int, float]:
            return await consumed(await one.round_robin({"text": TEXT}), 1)

        async def call_many() -> tuple[int, float]:
            return await consumed(await many.round_robin({"n": ITEMS}), ITEMS)

        await answer_cases(call_one, call_many, call_many)
        runtime.shutdown()

    asyncio.run(worker() if role == "worker" else caller())


if __name__ == "__main__":
    kind, role, *rest = sys.argv[1:]
    if kind == "ours":
        ours(role)
    elif kind == "bare":
        bare(role, rest[0] if rest else "")
    else:
        peer(role)
