"""KV-aware routing: the index beside ai-dynamo's Rust tree, what a decision costs, and what routing gains.

`BENCH_KV_SECONDS` is the virtual time of a simulation (default 90), `BENCH_KV_SEEDS` how many seeds, `BENCH_KV_WORKERS`
the sizes of the simulated graphs. BENCH_PARTS names the parts to measure now (default all, see `parts`).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kv_index import draw, growth, index

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from dynamo.llm.kv.hashing import block_hashes  # noqa: E402
from dynamo.llm.kv_routing.router import KvRouter, RouterSettings  # noqa: E402
from support.routing_simulation import ENGINE, TURNS, Outcome, Simulation, Workload  # noqa: E402

PLOTS = ROOT / "docs" / "plots"
SECONDS = float(os.environ.get("BENCH_KV_SECONDS", "90"))
SEEDS = int(os.environ.get("BENCH_KV_SEEDS", "2"))
WORKERS = [int(count) for count in os.environ.get("BENCH_KV_WORKERS", "8,64,256,1000").split(",")]
SHARE = 0.75
MODES = ("kv", "approximate", "round-robin", "random")
OVERLOAD = {"tenants": 6.0, "talks": 1.0, "unshared": 20.0}
TITLES = {
    "tenants": "shared prefixes: 19 tenants a worker, 6,000 tokens of prompt each, 200 to 800 of the request's own",
    "talks": "talks: a system prompt of 1,024 tokens for all, 5 to 17 turns of 100 to 1,000 tokens and their answers",
    "unshared": "nothing shared: prompts of 500 to 2,500 tokens",
}


def parts() -> dict[str, Callable[[], dict[str, Any] | None]]:
    """What can be measured by itself, in the order of the document."""
    return {
        "real": partial(real, "tenants"),
        "real-talks": partial(real, "talks"),
        "real-short-talks": partial(real, "short-talks"),
        "real-unshared": partial(real, "unshared"),
        **{kind: partial(gain, kind) for kind in TITLES},
        "workers": sizes,
        "sweep": sweep,
        "index": index,
        "growth": growth,
        "decisions": decisions,
    }


def main() -> None:
    """Measure, and write the tables to the path given."""
    PLOTS.mkdir(exist_ok=True)
    known, tables = parts(), []
    for name in os.environ.get("BENCH_PARTS", ",".join(known)).split(","):
        load = os.getloadavg()[0]
        if table := known[name]():
            tables.append({**table, "load": load})
    Path(sys.argv[1]).write_text(json.dumps(tables))


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
    """Requests a second that round-robin gives a first token when far more come: as many as it completes, and known
    sooner.
    """
    rate = OVERLOAD[kind] * workers
    flooded = Simulation(
        "round-robin", Workload(kind=kind, rate=rate, seconds=seconds, workers=workers, seed=seed), drain=False
    )
    outcome = flooded.run()
    return outcome.begun / outcome.seconds


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
    """Shared prefixes on graphs of growing size."""
    rows, lines = [], {mode: [] for mode in MODES}
    for workers in WORKERS:
        seconds = min(SECONDS, max(SECONDS * 24 / workers, 6.0))
        measured = min(workers, 64)
        full = saturation("tenants", measured, min(SECONDS, max(SECONDS * 24 / measured, 6.0)))
        rate = full * SHARE * workers / measured
        for mode in MODES:
            outcome = simulated(mode, "tenants", rate, seconds, workers, 1)
            lines[mode].append((workers, outcome.quantile(0.9) * 1e3))
            rows.append([workers, mode, *cells([outcome]), f"{rate:.0f}", f"{seconds:.0f}"])
    draw("kv_routing_workers.svg", "Shared prefixes, simulated engines", "workers", "TTFT p90, ms", lines, True)
    return {
        "title": "Routing, simulated engines: shared prefixes on 8 to 1,000 workers",
        "columns": ["workers", "router", *COLUMNS, "requests/s", "virtual s"],
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


def real(kind: str) -> dict[str, Any] | None:
    """The same with a real engine, where one is at hand: the figure to quote. None when there is none."""
    program = ROOT / "tests" / "bench" / "kv_real.py"
    if not program.exists():
        return None
    done = subprocess.run([sys.executable, str(program), kind], capture_output=True, text=True)
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


if __name__ == "__main__":
    main()
