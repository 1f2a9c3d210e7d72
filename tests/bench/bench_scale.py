"""How the cost of a request grows: with instances, with entries in discovery, with open streams, with the payload."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from dynamo.rpc.balancing import Component
from dynamo.rpc.runtime import DistributedRuntime, connect
from plot import plot
from support.nats import nats_server

PLOTS = Path(__file__).resolve().parent.parent.parent / "docs" / "plots"
SIDE = Path(__file__).resolve().parent / "scale_side.py"
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))
INSTANCES = (1, 8, 64, 512)
ENTRIES = (1, 100, 1000, 10000)
STREAMS = (1, 10, 100, 1000, 10000)
ITEMS = 20
PAYLOADS = tuple(1024 * 4**step for step in range(9))
PROCESSES = 16


def main() -> None:
    """Measure and write the tables to the path given."""
    tables = [measured(name) for name in ("instances", "entries", "streams", "payloads")]
    Path(sys.argv[1]).write_text(json.dumps(tables))


def measured(name: str) -> dict:
    """One table, on a server of its own."""
    with nats_server() as server:
        os.environ["NATS_SERVER"] = server.url
        return uvloop.run(globals()[name]())


@contextlib.contextmanager
def processes(kind: str, counts: list[int]):
    """Worker processes with so many instances each, when they are ready."""
    made = []
    try:
        for count in counts:
            made.append(
                subprocess.Popen([sys.executable, str(SIDE), kind, str(count)], stdout=subprocess.PIPE, text=True)
            )
        for process in made:
            assert process.stdout.readline() == "ready\n"
        yield made
    finally:
        for process in made:
            process.kill()
            process.wait()


async def calling() -> DistributedRuntime:
    """A caller's end."""
    return await connect({**os.environ, "DYNAMO_TRANSPORT_TOKEN": "shared"})


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def drawn(name: str, across: str, up: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """A picture beside the document of the figures; the note that shows it."""
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / name).write_text(plot(f"{up}, by {across}", across, up, lines))
    return f"![{up}, by {across}](plots/{name})"


async def closed_loops(one, callers: int, seconds: float) -> tuple[float, float, float]:
    """Requests a second, the median of a request in ms, and CPU of this process for each in µs."""
    taken = []
    until = time.perf_counter() + seconds

    async def loop() -> None:
        while (begun := time.perf_counter()) < until:
            await one()
            taken.append(time.perf_counter() - begun)

    begun, before = time.perf_counter(), processor()
    await asyncio.gather(*(loop() for _ in range(callers)))
    spent, used = time.perf_counter() - begun, processor() - before
    return len(taken) / spent, statistics.median(taken) * 1e3, used / len(taken) * 1e6


async def instances() -> dict:
    """Calls to 1 … 512 real instances."""
    rows, line = [], []
    for count in INSTANCES:
        hosts = min(count, PROCESSES)
        with processes("instances", [count // hosts] * hosts):
            async with await calling() as runtime:
                client = await runtime.namespace("bench").component("Scale").endpoint("echo").client()
                await client.wait_for_instances(count, 60)
                call = runtime.service("bench", "Scale", {"echo": "echo"}, 30.0)["echo"]
                await closed_loops(lambda: wait(call(b"x" * 64)), 64, 1.0)  # dials all
                rate, median, cost = await closed_loops(lambda: wait(call(b"x" * 64)), 64, SECONDS)
                line.append((count, cost))
                rows.append([f"{count} in {hosts} processes", f"{cost:.1f} µs", f"{rate:,.0f}", f"{median:.2f} ms"])
    picture = drawn("calls_instances.svg", "instances", "µs of the caller's CPU for a request", {"ours": line})
    return {
        "title": "Calls by the number of instances (64 callers, routed at random)",
        "columns": ["instances", "caller's CPU for a request", "requests/s", "p50"],
        "rows": rows,
        "notes": [picture, "All processes share the cores; the caller's CPU is what does not depend on that."],
    }


async def wait(call):
    return await call


async def entries() -> dict:
    """A watch of 1 … 10,000 entries that beat once a second."""
    rows, line = [], []
    for count in ENTRIES:
        hosts = min(4, count)
        with processes("simulated", [count // hosts] * hosts):
            async with await calling() as runtime:
                begun = time.perf_counter()
                watch = await runtime.discovery.watch("bench", "Simulated")
                while len(watch.list_instances()) < count:
                    await asyncio.sleep(0.005)
                known = time.perf_counter() - begun
                before = processor()
                await asyncio.sleep(3)
                idle = (processor() - before) / 3
                component = Component("bench", "Simulated", runtime.transport, lambda: None)
                spent = []
                for _ in range(50):
                    begun = time.perf_counter()
                    for _ in range(1000):
                        component.pick_random(watch.list_instances("echo"))
                    spent.append(time.perf_counter() - begun)
                    await asyncio.sleep(0.02)
                pick = statistics.mean(spent) / 1000 * 1e6
                assert len(watch.list_instances()) == count, len(watch.list_instances())
                line.append((count, pick))
                rows.append([f"{count:,}", f"{pick:.2f} µs", f"{known * 1e3:.0f} ms", f"{idle:.1%} of a core"])
    picture = drawn("calls_entries.svg", "entries", "µs to choose an instance", {"ours": line})
    return {
        "title": "Discovery by the number of entries (simulated workers, each beating once a second)",
        "columns": ["entries", "choosing one, for a call", "all known after", "listening"],
        "rows": rows,
        "notes": [picture],
    }


async def streams() -> dict:
    """1 … 10,000 streams at once on one connection."""
    rows, line = [], []
    with processes("instances", [1]):
        async with await calling() as runtime:
            call = runtime.service("bench", "Scale", {"stream": "stream"}, 120.0)["stream"]
            for count in STREAMS:
                firsts = []

                async def one(call=call, firsts=firsts, pause=0.05 if count < 5000 else 0.5) -> None:
                    begun, got = time.perf_counter(), 0
                    async for _ in call({"count": ITEMS, "pause": pause}):
                        if not got:
                            firsts.append(time.perf_counter() - begun)
                        got += 1
                    assert got == ITEMS

                before = processor()
                await asyncio.gather(*(one() for _ in range(count)))
                cost = (processor() - before) / (count * ITEMS) * 1e6
                memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
                line.append((count, cost))
                rows.append(
                    [
                        f"{count:,}",
                        f"{cost:.1f} µs",
                        f"{statistics.median(firsts) * 1e3:.1f} ms",
                        f"{memory:.0f} MiB",
                    ]
                )
    picture = drawn("calls_streams.svg", "streams at once", "µs of the caller's CPU for an item", {"ours": line})
    return {
        "title": f"Streams at once on one connection ({ITEMS} items each, one every 50 ms; every 500 ms at 10,000)",
        "columns": ["streams", "caller's CPU for an item", "first item p50", "caller's memory"],
        "rows": rows,
        "notes": [picture, "All streams begin in the same instant, so the first items wait for each other."],
    }


async def payloads() -> dict:
    """Echoes of 1 KiB … 64 MiB, beside the same bytes through a bare socket."""
    rows, line, bare_line = [], [], []
    with processes("instances", [1]):
        server = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.stdout.readline()), limit=2**22)
            async with await calling() as runtime:
                call = runtime.service("bench", "Scale", {"echo": "echo"}, 60.0)["echo"]
                for size in PAYLOADS:
                    data = os.urandom(size)

                    async def bare(data=data) -> None:
                        writer.write(len(data).to_bytes(4, "big") + data)
                        await writer.drain()
                        await reader.readexactly(4 + len(data))

                    assert await call(data) == data
                    await bare()
                    seconds = max(SECONDS / 2, 1.0)
                    _, ours, _ = await closed_loops(lambda data=data: wait(call(data)), 1, seconds)
                    _, floor, _ = await closed_loops(bare, 1, seconds)
                    each = ours * 1e3 / (size / 1024)
                    line.append((size / 1024, ours))
                    bare_line.append((size / 1024, floor))
                    shown = f"{size // 1024:,} KiB" if size < 2**20 else f"{size // 2**20} MiB"
                    rate = f"{2 * size / 2**20 / ours * 1e3:,.0f} MiB/s"
                    rows.append([shown, f"{ours:.2f} ms", f"{floor:.2f} ms", rate, f"{each:.2f} µs"])
        finally:
            writer.close()
            server.kill()
            server.wait()
    picture = drawn("calls_payloads.svg", "KiB", "ms for an echo", {"ours": line, "bare socket": bare_line})
    return {
        "title": "Payloads: an echo, one caller",
        "columns": ["payload", "ours", "bare socket", "both ways", "for a KiB"],
        "rows": rows,
        "notes": [picture, "Bare socket: the same bytes with their length through asyncio streams."],
    }


BARE = """
import asyncio, uvloop
async def serve(reader, writer):
    while head := await reader.read(4):
        while len(head) < 4:
            head += await reader.readexactly(4 - len(head))
        data = await reader.readexactly(int.from_bytes(head, "big"))
        writer.write(head + data)
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


if __name__ == "__main__":
    main()
