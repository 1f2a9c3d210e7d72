"""Rates and percentiles between two samples of workers' metrics.

Source: Prometheus' text exposition format 0.0.4, and its `histogram_quantile` (linear within a bucket).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

Values = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a worker counted, and when (seconds of a clock that only goes forward). `pid` tells a restart."""

    worker: str
    pid: int
    seconds: float
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One endpoint of a service between two looks: requests and failures a second, seconds at three percentiles.

    A percentile is None when nothing ended in that time.
    """

    service: str
    endpoint: str
    requests: float
    failures: float
    running: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(slots=True)
class _Sum:
    requests: float = 0.0
    failures: float = 0.0
    running: int = 0
    buckets: dict[float, float] = field(default_factory=dict)


def parse(text: str) -> Values:
    """The samples of a page; lines that are none are left out."""
    found = {}
    for line in text.splitlines():
        matched = None if line.startswith("#") else _LINE.fullmatch(line.strip())
        if matched is None:
            continue
        labels = tuple(sorted((name, _unescaped(value)) for name, value in _LABEL.findall(matched[2] or "")))
        try:
            found[matched[1], labels] = float(matched[3])
        except ValueError:
            continue
    return found


def rates(before: Iterable[Look], after: Iterable[Look]) -> tuple[Rate, ...]:
    """What happened between two looks at the same workers, summed by service and endpoint.

    A worker that was not there before, or began anew, counts from zero.
    """
    earlier = {(look.worker, look.pid): look for look in before}
    sums: dict[tuple[str, str], _Sum] = {}
    for look in after:
        old = earlier.get((look.worker, look.pid))
        took = max(0.001, look.seconds - old.seconds) if old else 0.0
        for (name, labels), value in look.values.items():
            named = dict(labels)
            if "endpoint" not in named:
                continue
            total = sums.setdefault((named.get("service", look.worker), named["endpoint"]), _Sum())
            if name == "dynamo_requests_running":
                total.running += int(value)
                continue
            if old is None:
                continue
            grown = max(0.0, value - old.values.get((name, labels), 0.0)) / took
            if name == "dynamo_requests_total":
                total.requests += grown
                total.failures += grown if named.get("outcome") != "ok" else 0.0
            elif name == "dynamo_request_seconds_bucket":
                bound = math.inf if named["le"] == "+Inf" else float(named["le"])
                total.buckets[bound] = total.buckets.get(bound, 0.0) + grown
    return tuple(
        Rate(
            service=service,
            endpoint=endpoint,
            requests=total.requests,
            failures=total.failures,
            running=total.running,
            p50=quantile(total.buckets, 0.5),
            p90=quantile(total.buckets, 0.9),
            p99=quantile(total.buckets, 0.99),
        )
        for (service, endpoint), total in sorted(sums.items())
    )


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The value below which that part lies, from cumulative counts by upper bound; None of nothing."""
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    wanted = part * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if math.isinf(bound):
                return lower
            inside = count - below
            return lower + (bound - lower) * ((wanted - below) / inside if inside > 0 else 1.0)
        lower, below = bound, count
    return lower


def _unescaped(text: str) -> str:
    return re.sub(r"\\[\\\"n]", lambda found: _ESCAPES[found[0]], text)
