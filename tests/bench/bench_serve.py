"""`dynamo serve` of hello world beside its peers: from start to the first answer, memory, HTTP through three services."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from serve_peers import Side, sides

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
BODY = b'{"text": "a"}'


def main() -> None:
    """Measure and write the tables to the path given: every side once in each round."""
    every = sides()
    seen: dict[str, list[Run]] = {side.name: [] for side in every}
    floor = []
    for turn in range(ROUNDS):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", "import uvicorn, pydantic, nats, uvloop, msgspec"], check=True)
        floor.append(time.monotonic() - begun)
        for side in every:
            try:
                seen[side.name].append(run(side))
            except (OSError, AssertionError, asyncio.IncompleteReadError, RuntimeError) as error:
                print(f"{side.name}, round {turn + 1}: {error!r}", file=sys.stderr)
    ours, found = seen["ours"], {name: runs for name, runs in seen.items() if runs}
    start = {
        "title": "Hello world of three services: start to first answer, and memory",
        "columns": ["what", "median", "lowest", "highest", "memory of all processes (PSS)", "ours needs"],
        "rows": [
            ["floor: Python importing uvicorn, pydantic, nats, uvloop, msgspec", *spread(floor, "s"), "", ""],
            *(
                [
                    name,
                    *spread([one.start for one in runs], "s"),
                    f"{middle(runs, 'memory'):.0f} MiB",
                    shares(ours, runs),
                ]
                for name, runs in found.items()
                if "alone" not in name
            ),
        ],
        "notes": [
            "Goals: at most 1.0 s to the first answer, and at most half of ai-dynamo's memory. Ours includes the NATS server"
            " that it starts; ai-dynamo's etcd and NATS server run before its start and are not counted.",
        ],
    }
    rate = {
        "title": "HTTP through three services (POST /generate, hello world)",
        "columns": [
            *("what", "1 connection", "p50", "p99", "CPU", "32 connections", "p50", "p99", "CPU"),
            *("ours is faster by", "and takes less CPU by"),
        ],
        "rows": [
            [
                name,
                *cells(runs, "one"),
                *cells(runs, "many"),
                *(("", "") if "alone" in name else ratios(ours, runs)),
            ]
            for name, runs in found.items()
        ],
        "notes": [
            f"Medians of {ROUNDS} rounds, in each of which every side runs 3 s with 1 and 3 s with 32 connections; the client"
            " and all services share the cores. Goal: 8 times ai-dynamo. CPU is that of all processes of the side for one"
            " answer, brokers included; it says the same on a busy machine.",
            "`alone` is the HTTP server with the same answer and no other service behind it: the distance of ours to it is"
            " the cost of two hops. granian is there to compare the servers; it takes neither the worker's listening sockets"
            " (which outlive a worker, so that none is refused while it restarts) nor its event loop, so uvicorn is kept.",
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps([start, rate]))


class Run(NamedTuple):
    """One round of one side: seconds to its first answer, MiB, and with one and with many connections
    (rate, p50, p99, CPU of an answer in ms).
    """

    start: float
    memory: float
    one: tuple[float, float, float, float]
    many: tuple[float, float, float, float]


def run(side: Side) -> Run:
    """Start it, time its first answer, take its memory, load it, stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with side.served(port) as pids:
        begun = time.monotonic()
        while True:
            try:
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}/generate", data=BODY, headers={"content-type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=15) as response:
                    answer = response.read()
                if b"a-mid-back" in answer:
                    break
            except (OSError, http.client.HTTPException):
                answer = b""  # not there yet; a peer answers 200 and nothing until all of its services are
            if time.monotonic() - begun > 90:
                raise RuntimeError(f"no right answer in 90 s: {answer!r}")
            time.sleep(0.005)
        seconds = time.monotonic() - begun
        memory = sum(pss(each) for each in tree(pids[0])) / 1024
        return Run(seconds, memory, loaded(pids, port, 1), loaded(pids, port, 32))


def loaded(pids: tuple[int, ...], port: int, connections: int) -> tuple[float, float, float, float]:
    """As `load`, and the milliseconds of CPU that all processes of the side spent on each answer."""
    before = processor(pids)
    rate, half, tail = load(port, connections, SECONDS)
    return rate, half, tail, (processor(pids) - before) * 1000 / (rate * SECONDS)


def processor(pids: tuple[int, ...]) -> float:
    """CPU seconds of the processes and their descendants that still run."""
    ticks = 0
    for each in (found for pid in pids for found in tree(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def middle(runs: list[Run], what: str) -> float:
    """The median of a figure."""
    return statistics.median(getattr(one, what) for one in runs)


def cells(runs: list[Run], what: str) -> list[str]:
    """Rate, p50, p99 and CPU, each the median of the rounds."""
    rate, half, tail, spent = (middle_of(runs, what, index) for index in range(4))
    return [f"{rate:,.0f}/s", f"{half:.2f} ms", f"{tail:.2f} ms", f"{spent:.2f} ms"]


def middle_of(runs: list[Run], what: str, index: int) -> float:
    """The median of one of the figures of a load."""
    return statistics.median(getattr(one, what)[index] for one in runs)


def ratios(ours: list[Run], runs: list[Run]) -> tuple[str, str]:
    """How many times as fast ours is, with one and with many connections, and how many times less CPU it takes."""
    if runs is ours:
        return "", ""
    faster = [middle_of(ours, what, 0) / middle_of(runs, what, 0) for what in ("one", "many")]
    less = [middle_of(runs, what, 3) / middle_of(ours, what, 3) for what in ("one", "many")]
    return f"{faster[0]:.1f}× and {faster[1]:.1f}×", f"{less[0]:.1f}× and {less[1]:.1f}×"


def shares(ours: list[Run], runs: list[Run]) -> str:
    """What ours takes of its time and memory."""
    if runs is ours:
        return ""
    return f"{middle(ours, 'start') / middle(runs, 'start'):.2f} of the time, {middle(ours, 'memory') / middle(runs, 'memory'):.2f} of the memory"


def load(port: int, connections: int, seconds: float):
    """Requests per second and latencies of kept connections that ask again as soon as they are answered."""
    request = (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    ) % (len(BODY), BODY)

    async def one(until: float, taken: list[float]) -> None:
        writer = None
        while time.monotonic() < until:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begun = time.monotonic()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head[:16]:
                    raise ConnectionError(head)
                if b"chunked" in head.lower():
                    await reader.readuntil(b"0\r\n\r\n")
                else:
                    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                    await reader.readexactly(int(length.split(b":")[1]))
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                writer = None  # a broken answer is not counted
                continue
            taken.append(time.monotonic() - begun)
        if writer is not None:
            writer.close()

    async def all_of_them() -> list[float]:
        taken: list[float] = []
        until = time.monotonic() + seconds
        await asyncio.gather(*(one(until, taken) for _ in range(connections)))
        return taken

    taken = sorted(asyncio.run(all_of_them()))
    if not taken:
        raise RuntimeError("no request was answered")
    return len(taken) / seconds, taken[len(taken) // 2] * 1000, taken[int(len(taken) * 0.99)] * 1000


def spread(values, unit):
    """Median, lowest and highest."""
    digits = 2 if unit == "s" else 0
    return [f"{pick(values):.{digits}f} {unit}" for pick in (statistics.median, min, max)]


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(found for child in children for found in tree(child))]


def pss(pid: int) -> int:
    """Proportional set size in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
