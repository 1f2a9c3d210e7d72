"""Counters of a process's calls, in Prometheus' text form."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """Counts by endpoint: requests by outcome, those running, and how long they took."""

    def __init__(self) -> None:
        self.running: dict[str, int] = defaultdict(int)
        self._outcomes: dict[tuple[str, str], int] = defaultdict(int)
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._gauges: dict[str, tuple[str, str, Callable[[], float]]] = {}

    def count_started(self, endpoint: str) -> None:
        """A request started."""
        self.running[endpoint] += 1

    def count_ended(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request ended: `ok` or its error's code."""
        self.running[endpoint] -= 1
        self._outcomes[endpoint, outcome] += 1
        self._seconds[endpoint] += seconds
        buckets = self._buckets.get(endpoint)
        if buckets is None:
            buckets = self._buckets[endpoint] = [0] * (len(BOUNDS) + 1)
        buckets[bisect_left(BOUNDS, seconds)] += 1

    def count_refused(self, endpoint: str) -> None:
        """A request was turned away before it began."""
        self._outcomes[endpoint, "overloaded"] += 1

    def show(self, name: str, text: str, read: Callable[[], float], kind: str = "gauge") -> None:
        """Show a value that something else knows, read whenever the page is asked for. One name has one value."""
        self._gauges[name] = (text, kind, read)

    def render_text(self, labels: dict[str, str]) -> str:
        """Everything in Prometheus' text form; `labels` are on every line."""
        fixed = "".join(f',{name}="{_escape_text(value)}"' for name, value in labels.items())
        lines = ["# HELP dynamo_requests_total Requests that ended.", "# TYPE dynamo_requests_total counter"]
        for (endpoint, outcome), count in sorted(self._outcomes.items()):
            lines.append(
                f'dynamo_requests_total{{endpoint="{_escape_text(endpoint)}",outcome="{outcome}"{fixed}}} {count}'
            )
        lines += ["# HELP dynamo_requests_running Requests that run now.", "# TYPE dynamo_requests_running gauge"]
        for endpoint, count in sorted(self.running.items()):
            lines.append(f'dynamo_requests_running{{endpoint="{_escape_text(endpoint)}"{fixed}}} {count}')
        lines += ["# HELP dynamo_request_seconds Time of a request.", "# TYPE dynamo_request_seconds histogram"]
        for endpoint, buckets in sorted(self._buckets.items()):
            name, total = f'endpoint="{_escape_text(endpoint)}"{fixed}', 0
            for bound, count in zip((*BOUNDS, "+Inf"), buckets, strict=True):
                total += count
                lines.append(f'dynamo_request_seconds_bucket{{{name},le="{bound}"}} {total}')
            lines.append(f"dynamo_request_seconds_sum{{{name}}} {self._seconds[endpoint]:.6f}")
            lines.append(f"dynamo_request_seconds_count{{{name}}} {total}")
        for name, (text, kind, read) in sorted(self._gauges.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name}{{{fixed[1:]}}} {read():g}"]
        return "\n".join(lines) + "\n"


def _escape_text(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
