"""What stands before an engine: HTTP, templates, tokens to text. CPU for each token, and how late tokens are told.

The peers are ai-dynamo's `dynamo-run in=http out=echo_core` (0.3.2) and vLLM's own API server. All use the same small
tokenizer; ours and ai-dynamo's engines give the prompt back at a fixed pace, vLLM's runs a model of random weights and
counts as engine with the process it runs in.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from bench.peers import environment_of  # noqa: E402
from support import small_models, vllm_environment  # noqa: E402

STREAMS, TOKENS, PACE_MS, ALONE = 32, 200, 20, 7
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
WORDS = "hello world " * 40


def main() -> None:
    """Measure and write the table to the path given."""
    seen: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        model = small_models.folder(Path(scratch) / "model", context=8192)
        for _ in range(ROUNDS):
            for name, start in (
                ("ours, two services", ours),
                ("ours, one service", front),
                ("ai-dynamo 0.3.2", ai_dynamo),
                ("vLLM", vllm),
            ):
                if name in os.environ.get("BENCH_WITHOUT", "").split(","):
                    continue
                with contextlib.suppress(Absent), start(model, Path(scratch)) as (port, processes):
                    seen.setdefault(name, []).append(asyncio.run(measured(port, processes)))
    rows = []
    for name, found in seen.items():
        middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
        rows.append(
            [name, f"{middle['cpu'] * 1e6:.0f}", f"{middle['rate']:.0f}", f"{middle['alone'] * 1e3:.1f}",
             f"{middle['first'] * 1e3:.1f}", f"{middle['late'] * 1e3:.2f}", f"{middle['worst'] * 1e3:.1f}"]
        )  # fmt: skip
    table = {
        "title": f"In front of an engine: {STREAMS} streams of {TOKENS} tokens, one each {PACE_MS} ms",
        "columns": [
            "what",
            "CPU µs a token, engine apart",
            "tokens/s",
            "first token ms, alone",
            "all at once",
            "pace jitter p50 ms",
            "p99 ms",
        ],
        "rows": rows,
        "notes": [
            "CPU of all processes between the client and the engine. ai-dynamo's figure holds its engine, an echo, which"
            " is in the same process; vLLM's is its API server's process, at the pace of its own engine.",
            "Ours, two services: Frontend and Processor of the graph agg, with the network between them. Ours, one service:"
            " Front of the graph front. The engine is a process of its own in both.",
            f"Medians of {ROUNDS} runs of each, taken in turn.",
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps([table]))


class Absent(Exception):
    """A peer that cannot be had here."""


@contextlib.contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str], seconds: float = 60
) -> Iterator[tuple[int, str]]:
    """A server that answers on a port: its pid, and what it said until it did."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until = time.monotonic() + seconds
            while True:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2) as page:
                        if json.load(page)["data"]:
                            break
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(log.read().decode(errors="replace")[-2000:])
                time.sleep(0.1)
            until = time.monotonic() + 10
            while True:  # what serves says so a moment after it does
                log.seek(0)
                said = log.read().decode(errors="replace")
                if "serving " in said or "dynamo_build" not in command or time.monotonic() > until:
                    break
                time.sleep(0.1)
            yield process.pid, said
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ours(model: Path, scratch: Path) -> Iterator[tuple[int, list[int]]]:
    """The example graph; Frontend and Processor are what is measured."""
    with graph("agg:Frontend", "Processor", model, scratch) as (port, said):
        yield port, workers(said, "Frontend", "Processor")


@contextlib.contextmanager
def front(model: Path, scratch: Path) -> Iterator[tuple[int, list[int]]]:
    """The example graph whose front is its own Processor."""
    with graph("front:Front", "Front", model, scratch) as (port, said):
        yield port, workers(said, "Front")


@contextlib.contextmanager
def graph(target: str, processor: str, model: Path, scratch: Path) -> Iterator[tuple[int, str]]:
    """A graph of examples/llm over an engine that echoes at the pace."""
    port, entry = free_port(), target.partition(":")[2]
    command = [
        sys.executable, "-m", "dynamo_build", "serve", f"graphs.{target}", "--working-dir", str(ROOT / "examples/llm"),
        "--port", str(port), f"--{processor}.model={model}", "--VllmWorker.engine=echo",
        f"--VllmWorker.delay={PACE_MS / 1000}", f"--{entry}.served_model_name=m",
    ]  # fmt: skip
    with running(command, port, {"XDG_RUNTIME_DIR": str(scratch)}) as (_, said):
        yield port, said


@contextlib.contextmanager
def ai_dynamo(model: Path, scratch: Path) -> Iterator[tuple[int, list[int]]]:
    """Its program of one process with an engine that echoes."""
    programs = environment_of("ai-dynamo")
    if programs is None:
        raise Absent
    port = free_port()
    command = [str(programs / "dynamo-run"), "in=http", "out=echo_core", "--http-port", str(port)]
    command += ["--model-path", str(model), "--model-name", "m"]
    with running(command, port, {"DYN_TOKEN_ECHO_DELAY_MS": str(PACE_MS), "PYTHONPATH": ""}) as (pid, _):
        yield port, [pid, *descendants(pid)]


@contextlib.contextmanager
def vllm(model: Path, scratch: Path) -> Iterator[tuple[int, list[int]]]:
    """vLLM's API server; its engine is a process of its own."""
    try:
        interpreter = vllm_environment.interpreter()
    except vllm_environment.Absent as error:
        sys.stderr.write(f"vLLM: {error}\n")
        raise Absent from error
    weights = scratch / "weights"
    side = {"PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT / 'tests'}", "HF_HUB_OFFLINE": "1"}
    if not weights.exists():
        subprocess.run([interpreter, "-m", "support.vllm_model", str(weights)], env={**os.environ, **side}, check=True)
    port = free_port()
    command = [
        interpreter, "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights), "--served-model-name", "m",
        "--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "bfloat16", "--block-size", "32",
        "--max-model-len", "2048", "--max-num-seqs", str(STREAMS),
    ]  # fmt: skip
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1",
    }  # fmt: skip
    with running(command, port, {**side, **settings}, 400) as (pid, _):
        yield port, [pid]


async def measured(port: int, processes: list[int]) -> dict[str, float]:
    """All streams at once: CPU of the processes for each token, and when tokens came."""
    await asyncio.gather(*(stream(port, 10) for _ in range(4)))
    alone = [await stream(port, 10, enough=1) for _ in range(ALONE)]
    before, began = cpu(processes), time.monotonic()
    times = await asyncio.gather(*(stream(port, TOKENS) for _ in range(STREAMS)))
    tokens = sum(len(one) - 1 for one in times)
    gaps = sorted(abs(b - a - PACE_MS / 1000) for one in times for a, b in itertools.pairwise(one[1:]))
    return {
        "cpu": (cpu(processes) - before) / tokens,
        "rate": tokens / (time.monotonic() - began),
        "alone": statistics.median(one[1] - one[0] for one in alone),
        "first": statistics.median(one[1] - one[0] for one in times),
        "late": gaps[len(gaps) // 2],
        "worst": gaps[len(gaps) * 99 // 100],
    }


async def stream(port: int, tokens: int, enough: int = 0) -> list[float]:
    """When it was asked and when each event came; after `enough` of them it leaves."""
    body = {"model": "m", "messages": [{"role": "user", "content": WORDS}], "max_tokens": tokens, "stream": True,
            "ignore_eos": True, "nvext": {"ignore_eos": True}, "temperature": 0}  # fmt: skip
    payload = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    times = [time.perf_counter()]
    writer.write(head.encode() + payload)
    async for line in reader:
        if line.startswith(b"data: {") and b'"content":' in line:
            times.append(time.perf_counter())
        if b"[DONE]" in line or len(times) - 1 == enough > 0:
            break
    writer.close()
    if len(times) < (enough or tokens // 2):
        raise RuntimeError(f"{len(times)} events for {tokens} tokens")
    return times


def cpu(processes: list[int]) -> float:
    """The seconds that processes have used."""
    ticks = 0
    for pid in processes:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def workers(said: str, *services: str) -> list[int]:
    """The processes of services, by what `dynamo serve` says of them."""
    return [int(pid) for service, pid in re.findall(r"\[(\w+)\]\s+ready.*?process (\d+)", said) if service in services]


if __name__ == "__main__":
    main()
