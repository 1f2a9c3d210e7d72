"""KV-aware routing: the index beside ai-dynamo's Rust tree, what a decision costs, and what routing gains.

`BENCH_KV_SECONDS` is the virtual time of a simulation (default 90), `BENCH_KV_SEEDS` how many seeds, `BENCH_KV_WORKERS`
the sizes of the simulated graphs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers import environment_of

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from dynamo.bench.chart import line_chart  # noqa: E402
from dynamo.llm.hashing import block_hashes  # noqa: E402
from dynamo.llm.router import KvRouter, RouterSettings  # noqa: E402
from support.routing_simulation import ENGINE, TURNS, Outcome, Simulation, Workload  # noqa: E402

PLOTS = ROOT / "docs" / "plots"
ROUNDS = int(os.environ.get("BENCH_KV_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_KV_SECONDS", "90"))
SEEDS = int(os.environ.get("BENCH_KV_SEEDS", "2"))
WORKERS = [int(count) for count in os.environ.get("BENCH_KV_WORKERS", "8,64,256,1000").split(",")]
SIZES = [int(count) for count in os.environ.get("BENCH_KV_BLOCKS", "10000,100000,1000000,4000000").split(",")]
SHARE = 0.75
MODES = ("kv", "approximate", "round-robin", "random")
OVERLOAD = {"tenants": 6.0, "talks": 1.0, "unshared": 20.0}
TITLES = {
    "tenants": "shared prefixes: 19 tenants a worker, 6,000 tokens of prompt each, 200 to 800 of the request's own",
    "talks": "talks: a system prompt of 1,024 tokens for all, 5 to 17 turns of 100 to 1,000 tokens and their answers",
    "unshared": "nothing shared: prompts of 500 to 2,500 tokens",
}
NAMES = {
    "bare": "ours, hashes at hand",
    "ours": "ours, from MessagePack messages",
    "radix": "ai-dynamo 0.3.2 RadixTree (Rust), from JSON events",
    "dict": "floor: a bare dict",
}
FIGURES = ("store", "again", "remove", "match", "miss", "churn", "later", "bytes")


def main() -> None:
    """Measure and write the tables to the path given."""
    PLOTS.mkdir(exist_ok=True)
    tables = [index(), growth(), decisions(), *(gain(kind) for kind in TITLES), sizes(), sweep(), real()]
    Path(sys.argv[1]).write_text(json.dumps([table for table in tables if table]))


def sides() -> dict[str, str]:
    """Which index runs in which interpreter; the peer only where it installs."""
    found = dict.fromkeys(("bare", "ours", "dict"), sys.executable)
    peer = environment_of("ai-dynamo")
    return {**found, "radix": str(peer / "python")} if peer else found


def side(kind: str, python: str, blocks: int, workers: int = 64) -> dict[str, float]:
    """One run of one index."""
    path = {"PYTHONPATH": str(ROOT / "runtime")} if kind in ("bare", "ours") else {}
    command = [python, str(ROOT / "tests" / "bench" / "kv_side.py"), kind, str(blocks), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **path})
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def index() -> dict[str, Any]:
    """The index at a million blocks of 64 workers, beside its peer and its floor, in turns."""
    seen: dict[str, list[dict[str, float]]] = {kind: [] for kind in NAMES}
    for _ in range(ROUNDS):
        for kind, python in sides().items():
            seen[kind].append(side(kind, python, 1_000_000))
    rows = []
    for kind, runs in seen.items():
        if runs:
            middle = {figure: statistics.median(run[figure] for run in runs) for figure in FIGURES}
            best = max(run["store"] for run in runs), min(run["match"] for run in runs)
            rows.append(
                [NAMES[kind], *(f"{middle[figure]:.3g}" for figure in FIGURES), f"{best[0]:.3g} / {best[1]:.3g}"]
            )
    return {
        "title": "KV index: a million blocks of 64 workers",
        "columns": [
            "index",
            "store, M blocks/s",
            "store again by a second worker",
            "remove",
            "match 256 held blocks, µs",
            "256 unknown, µs",
            "evict and store, M blocks/s",
            "match then, µs",
            "bytes a block",
            "best store / match",
        ],
        "rows": rows,
        "notes": [
            f"Medians of {ROUNDS} interleaved rounds, each in a process of its own. The Python API of the peer's index "
            "takes events as JSON text; its `KvIndexer` is this tree behind a subscription that needs etcd and NATS.",
            "Prompts are asked for in random order, by numbers that were not stored. Then the ends of an eighth of them are "
            "evicted, 32 blocks at a time, while as many others are stored, and it is asked again.",
            "Bytes: growth of resident memory while storing. Ours, hashes at hand: the hashes themselves are not counted.",
        ],
    }


def growth() -> dict[str, Any]:
    """The same with tables of other sizes."""
    rows, lines = [], {"ours, store": [], "peer, store": []}
    for blocks in SIZES:
        for kind, python in sides().items():
            if kind in ("ours", "radix"):
                figures = side(kind, python, blocks)
                rows.append(
                    [f"{blocks:,}", NAMES[kind], *(f"{figures[name]:.3g}" for name in ("store", "match", "bytes"))]
                )
                lines["ours, store" if kind == "ours" else "peer, store"].append((blocks, figures["store"]))
    draw("kv_index_growth.svg", "Storing blocks", "blocks in the table", "M blocks/s", lines, log_x=True)
    return {
        "title": "KV index: growth",
        "columns": ["blocks", "index", "store, M blocks/s", "match 256, µs", "bytes a block"],
        "rows": rows,
        "notes": ["Drawn in docs/plots/kv_index_growth.svg. One run each, 64 workers."],
    }


def decisions() -> dict[str, Any]:
    """How long `route` takes with so many workers."""
    rows, tokens = [], list(range(6400))
    hashes = block_hashes(tokens, 64)
    for count in (1, 8, 64, 256, 1000):
        router = KvRouter(RouterSettings(), time.monotonic)
        workers = list(range(1, count + 1))
        for worker in workers:
            router.index.stored(worker, hashes[: worker % 100])
        spent = []
        for turn in range(300):
            begun = time.perf_counter()
            router.route(str(turn), tokens, workers, hashes)
            spent.append(time.perf_counter() - begun)
            router.finished(str(turn))
        rows.append([count, f"{statistics.median(spent) * 1e6:.0f}", f"{sorted(spent)[296] * 1e6:.0f}"])
    return {
        "title": "A routing decision: a prompt of 100 blocks, each worker holds another part of it",
        "columns": ["workers", "p50, µs", "p99, µs"],
        "rows": rows,
        "notes": ["The index, the cost function and the choice in one process; the hashes are at hand."],
    }


def saturation(kind: str, workers: int, seconds: float, seed: int = 1) -> float:
    """Requests a second that round-robin completes when far more come."""
    rate = OVERLOAD[kind] * workers
    flooded = Simulation(
        "round-robin", Workload(kind=kind, rate=rate, seconds=seconds, workers=workers, seed=seed), drain=False
    )
    outcome = flooded.run()
    return outcome.ended / outcome.seconds


def simulated(mode: str, kind: str, rate: float, seconds: float, workers: int, seed: int, **more: Any) -> Outcome:
    """One run; `rate` in requests a second, of which a talk has several."""
    talks = 1 + sum(TURNS) / 2 if kind == "talks" else 1
    workload = Workload(kind=kind, rate=rate / talks, seconds=seconds, workers=workers, seed=seed, **more)
    return Simulation(mode, workload).run()  # type: ignore[arg-type]


def cells(outcomes: list[Outcome]) -> list[str]:
    """Medians over seeds."""

    def middle(values: list[float]) -> float:
        return statistics.median(values)

    return [
        f"{middle([one.quantile(0.5) for one in outcomes]) * 1e3:.0f}",
        f"{middle([one.quantile(0.9) for one in outcomes]) * 1e3:.0f}",
        f"{middle([one.quantile(0.99) for one in outcomes]) * 1e3:.0f}",
        f"{middle([one.token_seconds for one in outcomes]) * 1e3:.1f}",
        f"{middle([one.hit_rate for one in outcomes]):.0%}",
        str(sum(one.rejected for one in outcomes)),
        f"{sum(one.answered for one in outcomes)} of {sum(one.asked for one in outcomes)}",
    ]


COLUMNS = ["TTFT p50, ms", "p90", "p99", "between tokens, ms", "prefix hits", "rejected", "answered"]


def gain(kind: str) -> dict[str, Any]:
    """All ways to route on 8 simulated workers, at three quarters of what round-robin can bear."""
    rate = saturation(kind, 8, SECONDS) * SHARE
    # A talk lasts most of a minute: it takes a while until as many end as begin.
    length = 2 * SECONDS if kind == "talks" else SECONDS
    rows, middle = [], {}
    for mode in MODES:
        outcomes = [simulated(mode, kind, rate, length, 8, seed) for seed in range(1, SEEDS + 1)]
        middle[mode] = [statistics.median(one.quantile(share) for one in outcomes) for share in (0.5, 0.9)]
        rows.append([mode, *cells(outcomes)])
    half, most = (middle["round-robin"][part] / middle["kv"][part] for part in (0, 1))
    steady = [simulated(mode, kind, rate, length, 8, 1, arrivals="even") for mode in ("kv", "round-robin")]
    even = ", ".join(f"{one.quantile(0.5) * 1e3:.0f} / {one.quantile(0.9) * 1e3:.0f} ms" for one in steady)
    return {
        "title": f"Routing, simulated engines: {TITLES[kind]}",
        "columns": ["router", *COLUMNS],
        "rows": rows,
        "notes": [
            f"**Simulated** ({describe()}). 8 workers, {rate:.1f} requests/s = {SHARE:.0%} of round-robin's saturation, "
            f"Poisson arrivals, seeds 1 to {SEEDS}, {length:.0f} s of virtual time of which the first third is not counted.",
            f"kv against round-robin: TTFT p50 {half:.1f} times lower, p90 {most:.1f} times. With evenly spaced arrivals "
            f"(seed 1), kv and round-robin, p50 / p90: {even}.",
        ],
    }


def sizes() -> dict[str, Any]:
    """Shared prefixes on graphs of many sizes."""
    rows, lines = [], {mode: [] for mode in MODES}
    for workers in WORKERS:
        seconds = min(SECONDS, max(SECONDS * 24 / workers, 6.0))
        measured = min(workers, 64)
        rate = (
            saturation("tenants", measured, min(SECONDS, max(SECONDS * 24 / measured, 6.0)))
            * SHARE
            * workers
            / measured
        )
        for mode in MODES:
            outcome = simulated(mode, "tenants", rate, seconds, workers, 1)
            lines[mode].append((workers, outcome.quantile(0.9) * 1e3))
            rows.append([workers, mode, *cells([outcome]), f"{seconds:.0f}"])
    draw("kv_routing_workers.svg", "Shared prefixes, simulated engines", "workers", "TTFT p90, ms", lines, log_x=True)
    return {
        "title": "Routing, simulated engines: shared prefixes on 8 to 1,000 workers",
        "columns": ["workers", "router", *COLUMNS, "virtual s"],
        "rows": rows,
        "notes": [
            f"**Simulated** ({describe()}), seed 1, Poisson arrivals at {SHARE:.0%} of round-robin's saturation (measured on "
            f"as many workers, at most 64). At the beginning each prefix is "
            "on one worker, as in all tables with shared prefixes. docs/plots/kv_routing_workers.svg."
        ],
    }


def sweep() -> dict[str, Any]:
    """Shared prefixes under growing load."""
    full = saturation("tenants", 8, SECONDS)
    rows, lines = [], {mode: [] for mode in MODES}
    for share in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2):
        for mode in MODES:
            outcome = simulated(mode, "tenants", full * share, SECONDS / 2, 8, 1)
            lines[mode].append((share, min(outcome.quantile(0.9) * 1e3, 4000)))
            rows.append([f"{share:.0%}", mode, *cells([outcome])])
    draw(
        "kv_routing_load.svg",
        "Shared prefixes on 8 simulated engines (4 s and more as 4 s)",
        "load, as a share of round-robin's saturation",
        "TTFT p90, ms",
        lines,
    )
    return {
        "title": "Routing, simulated engines: shared prefixes under growing load",
        "columns": ["load", "router", *COLUMNS],
        "rows": rows,
        "notes": [
            f"**Simulated** ({describe()}), 8 workers, seed 1, Poisson arrivals, {SECONDS / 2:.0f} s of virtual time; "
            f"100% is {full:.1f} requests/s. docs/plots/kv_routing_load.svg."
        ],
    }


def real() -> dict[str, Any] | None:
    """The same with a real engine, where one is at hand: the figure to quote. None when there is none."""
    program = ROOT / "tests" / "bench" / "kv_real.py"
    if not program.exists():
        return None
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    if done.returncode:
        print(f"no real engine was measured: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    table: dict[str, Any] = json.loads(done.stdout)
    return table


def describe() -> str:
    """The simulated engine in a few words."""
    return (
        f"{ENGINE.blocks:,} blocks of {ENGINE.block_size} tokens, {ENGINE.slots} slots, {ENGINE.pass_tokens:,} tokens a "
        f"pass, {ENGINE.pass_seconds * 1e3:g} ms a pass and {ENGINE.prefill_seconds * 1e6:g} µs for each prompt token"
    )


def draw(name: str, title: str, x: str, y: str, series: dict[str, Any], log_x: bool = False) -> None:
    """A picture beside the document."""
    (PLOTS / name).write_text(line_chart(title, x, y, {key: line for key, line in series.items() if line}, log_x=log_x))


if __name__ == "__main__":
    main()
