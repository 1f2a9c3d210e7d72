"""Calls between two processes: the public client and Dispatcher, on both request planes, beside bare sockets and the peer."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import peers
from support import two_hosts
from support.nats import nats_server

HERE = Path(__file__).resolve().parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.5"))
OURS = "ours, TCP plane"
BARE = "bare sockets, no API"
NATS_PLANE = "ours, NATS plane"
HOSTS = "ours, TCP plane, two network namespaces"
PEER = "ai-dynamo-runtime 0.3.2"
PEER_TCP = "ai-dynamo-runtime 1.6.1, TCP plane"
CASES = (
    ("unary 1", "unary, 1 caller", "requests/s", 5.0),
    ("unary 64", "unary, 64 callers", "requests/s", 8.0),
    ("pydantic 32", "streams of 100 pydantic items, 32 callers", "items/s", 8.0),
    ("bytes 32", "streams of 100 bytes items, 32 callers", "items/s", 14.0),
)


def main() -> None:
    """Measure and write the table to the path given."""
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    notes = []
    with contextlib.ExitStack() as stack:
        sides, notes = started(stack)
        for turn in range(ROUNDS):
            for case, *_ in CASES:
                for name, side in sides.items():
                    if case == "bytes 32" and name in (PEER, PEER_TCP):
                        continue  # its items are JSON: there are no bytes
                    found = side.measure(case, SECONDS if turn else SECONDS / 3)
                    if turn or ROUNDS == 1:
                        seen.setdefault((name, case), []).append(found)
    Path(sys.argv[1]).write_text(json.dumps([table(seen, tuple(sides), notes)]))


def started(stack: contextlib.ExitStack) -> tuple[dict[str, Side], list[str]]:
    """All that is measured, and what could not be had."""
    nats = stack.enter_context(nats_server())
    sides = {
        OURS: Side(stack, "ours", NATS_SERVER=nats.url, DYN_REQUEST_PLANE="tcp"),
        BARE: Side(stack, "bare"),
        NATS_PLANE: Side(stack, "ours", NATS_SERVER=nats.url, DYN_REQUEST_PLANE="nats"),
    }
    notes = []
    reason = two_hosts.missing()
    if reason:
        notes.append(f"{HOSTS} was not run: {reason}.")
    else:
        one, two = stack.enter_context(two_hosts.two_hosts())
        far = stack.enter_context(nats_server(on=tuple(one.on()), host=one.address))
        sides[HOSTS] = Side(stack, "ours", on=(one, two), NATS_SERVER=far.url, DYN_REQUEST_PLANE="tcp")
    for name, package in ((PEER, "ai-dynamo"), (PEER_TCP, "ai-dynamo-1")):
        try:
            sides[name] = peer(stack, package, nats.url)
        except (OSError, RuntimeError) as error:
            notes.append(f"{name} was not run: {error}.")
    return sides, notes


def table(seen, names, notes):
    """Medians over the rounds, and each as a multiple of the peer's."""
    rows = []
    for case, title, unit, goal in CASES:
        base = seen.get((PEER, case)) or seen.get((PEER, "pydantic 32")) or []
        peers_rate = statistics.median(found["rate"] for found in base) if base else 0.0
        peers_first = statistics.median(found["first"] for found in base) if base else 0.0
        for name in names:
            results = seen.get((name, case))
            if results:
                rate, first, tail, processor = (
                    statistics.median(found[key] for found in results) for key in ("rate", "first", "p99", "cpu")
                )
                times = f"{rate / peers_rate:.1f}" if peers_rate else "-"
                wanted = f"{goal:g}" if name == OURS else ""
                earlier = f"{first / peers_first:.2f}" if peers_first and first else "-"
                pace = [f"{rate:,.0f} {unit}", times, wanted]
                rows.append([title, name, *pace, f"{first:.2f} ms", earlier, f"{tail:.2f} ms", f"{processor:.1f} µs"])
    return {
        "title": "Calls between two processes",
        "columns": [
            "what",
            "by",
            "rate",
            "times the peer",
            "goal",
            "first item p50",
            "of the peer's",
            "whole answer p99",
            "CPU of both ends for each",
        ],
        "rows": rows,
        "notes": [
            "Our rows: the whole public API. A pydantic model in, pydantic models out, a deadline, trace and request id,"
            " discovery by NATS, the token.",
            "Bare sockets: the same messages on one multiplexed connection by msgspec and uvloop, and nothing else.",
            "Goals are multiples of ai-dynamo-runtime 0.3.2; its items are objects without a model, ours bytes stand"
            " beside those. Goal of the first item with 32 callers: at most 0.2 of its.",
            "CPU is that of worker and caller together for one request or item; brokers are not in it.",
            *notes,
        ],
    }


class Side:
    """One caller process with its worker; it is asked for a measurement by a line and answers with a line."""

    def __init__(self, stack, kind, python=sys.executable, on=(), **environment) -> None:
        given = {**os.environ, "DYN_LOG": "error", **environment}
        command = [str(python), str(HERE / "transport_side.py"), kind]
        worker_at, caller_at = (host.on() for host in on) if on else ([], [])
        self._log = stack.enter_context(tempfile.TemporaryFile())
        self._worker = subprocess.Popen(
            [*worker_at, *command, "worker"], env=given, stdout=subprocess.PIPE, stderr=self._log
        )
        stack.callback(ended, self._worker)
        first = self._worker.stdout.readline().decode().strip()
        self._caller = subprocess.Popen(
            [*caller_at, *command, "caller", first],
            env=given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        stack.callback(ended, self._caller)
        if not self._caller.stdout.readline():
            raise RuntimeError(f"it did not start: {self._tail()}")

    def measure(self, case: str, seconds: float) -> dict[str, float]:
        """Run one case. Raises RuntimeError when the process ended."""
        before = self._processor()
        self._caller.stdin.write(json.dumps([case, seconds]).encode() + b"\n")
        self._caller.stdin.flush()
        line = self._caller.stdout.readline()
        if not line:
            raise RuntimeError(f"{case} failed: {self._tail()}")
        found = json.loads(line)
        return {**found, "cpu": (self._processor() - before) * 1e6 / found["count"]}

    def _processor(self) -> float:
        ticks = 0
        for process in (self._worker, self._caller):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-600:]


def ended(process: subprocess.Popen) -> None:
    """End a process."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def peer(stack: contextlib.ExitStack, package: str, nats: str) -> Side:
    """The peer with an etcd of its own. Raises OSError or RuntimeError when it cannot be had."""
    binaries = peers.environment_of(package)
    if binaries is None:
        raise RuntimeError("it cannot be installed here")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    first = 14379 if package == "ai-dynamo" else 14479
    client, member = f"http://127.0.0.1:{first}", f"http://127.0.0.1:{first + 1}"
    options = {
        "data-dir": folder,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": member,
        "initial-advertise-peer-urls": member,
        "initial-cluster": f"default={member}",
    }
    etcd = subprocess.Popen(
        ["etcd", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(ended, etcd)
    time.sleep(2)
    loopback = {"DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1"}
    return Side(
        stack, "peer", binaries / "python", NATS_SERVER=nats, ETCD_ENDPOINTS=client, DYN_REQUEST_PLANE="tcp", **loopback
    )


if __name__ == "__main__":
    main()
