"""The index of KV blocks beside ai-dynamo's Rust tree and a bare dict, in processes of their own. Part of `bench_kv`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from peers import environment_of

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from dynamo.bench.chart import line_chart  # noqa: E402

PLOTS = ROOT / "docs" / "plots"
ROUNDS = int(os.environ.get("BENCH_KV_ROUNDS", "3"))
SIZES = [int(count) for count in os.environ.get("BENCH_KV_BLOCKS", "10000,100000,1000000,4000000").split(",")]
NAMES = {
    "bare": "ours, hashes at hand",
    "ours": "ours, from MessagePack messages",
    "radix": "ai-dynamo 0.3.2 RadixTree (Rust), from JSON events",
    "dict": "a bare dict with an entry for each block",
}
FIGURES = ("store", "again", "remove", "match", "miss", "churn", "later", "bytes")


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
            f"Medians of {ROUNDS} interleaved rounds, each in a process of its own, in CPU time: what else runs counts only by "
            "the caches that it uses. The Python API of the peer's index "
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


def draw(name: str, title: str, x: str, y: str, series: dict[str, Any], log_x: bool = False) -> None:
    """A picture beside the document."""
    (PLOTS / name).write_text(line_chart(title, x, y, {key: line for key, line in series.items() if line}, log_x=log_x))
