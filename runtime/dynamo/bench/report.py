"""Results of a run: quantiles, rates, a table and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamo.bench.chart import line_chart
from dynamo.bench.stream import Measured

SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Times in milliseconds: p50, p90 and p99. A share is None where the endpoint does not tell."""

    requests: int
    failed: int
    seconds: float
    first_token_ms: tuple[float, ...]
    between_tokens_ms: tuple[float, ...]
    request_ms: tuple[float, ...]
    requests_a_second: float
    output_tokens_a_second: float
    prompt_tokens: int
    output_tokens: int
    prefix_hit_rate: float | None
    problems: dict[str, int]


def build_report(answers: Sequence[Measured], seconds: float) -> Report:
    """A run in figures."""
    good = [one for one in answers if not one.problem]
    told = [one for one in good if one.cached_tokens is not None and one.prompt_tokens]
    output = sum(one.output_tokens or len(one.gaps) + 1 for one in good)
    prompts = sum(one.prompt_tokens for one in told)
    span = max(seconds, 1e-9)
    return Report(
        requests=len(answers),
        failed=len(answers) - len(good),
        seconds=round(seconds, 3),
        first_token_ms=compute_quantiles([one.first for one in good]),
        between_tokens_ms=compute_quantiles([gap for one in good for gap in one.gaps]),
        request_ms=compute_quantiles([one.total for one in good]),
        requests_a_second=round(len(good) / span, 3),
        output_tokens_a_second=round(output / span, 2),
        prompt_tokens=sum(one.prompt_tokens for one in good),
        output_tokens=output,
        prefix_hit_rate=round(sum(one.cached_tokens or 0 for one in told) / prompts, 4) if prompts else None,
        problems=dict(Counter(one.problem[:120] for one in answers if one.problem).most_common(5)),
    )


def compute_quantiles(values: Sequence[float]) -> tuple[float, ...]:
    """p50, p90 and p99 in milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return (0.0, 0.0, 0.0)
    return tuple(round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3, 3) for share in SHARES)


def format_table(found: Report) -> str:
    """The figures as text."""
    rate = "not told" if found.prefix_hit_rate is None else f"{found.prefix_hit_rate:.1%}"
    lines = [
        f"{found.requests} requests in {found.seconds:.1f} s, {found.failed} failed",
        f"{'':24}{'p50':>10}{'p90':>10}{'p99':>10}",
        _format_row("time to first token, ms", found.first_token_ms),
        _format_row("between tokens, ms", found.between_tokens_ms),
        _format_row("whole request, ms", found.request_ms),
        f"{'requests/s':24}{found.requests_a_second:>10.2f}",
        f"{'output tokens/s':24}{found.output_tokens_a_second:>10.1f}",
        f"{'prefix hit rate':24}{rate:>10}",
    ]
    return "\n".join([*lines, *(f"{count} x {problem}" for problem, count in found.problems.items())])


def _format_row(name: str, values: Sequence[float]) -> str:
    return f"{name:24}" + "".join(f"{value:>10.1f}" for value in values)


def draw_charts(answers: Sequence[Measured], folder: Path) -> list[Path]:
    """Two pictures: how the times are spread, and the first token over the run. Raises OSError."""
    good = [one for one in answers if not one.problem]
    if not good:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    spread = {
        "first token": _compute_spread([one.first for one in good]),
        "between tokens": _compute_spread([gap for one in good for gap in one.gaps]),
    }
    over = {"first token": [(one.begun, one.first * 1e3) for one in good]}
    pictures = {
        "spread.svg": line_chart("How the times are spread", "share of requests or tokens, %", "ms", spread),
        "over_time.svg": line_chart("Time to the first token", "seconds into the run", "ms", over),
    }
    for name, picture in pictures.items():
        (folder / name).write_text(picture, encoding="utf-8")
    return [folder / name for name in pictures]


def _compute_spread(values: Sequence[float]) -> list[tuple[float, float]]:
    ordered = sorted(values)
    return [
        (share, ordered[min(len(ordered) * share // 100, len(ordered) - 1)] * 1e3) for share in range(101) if ordered
    ]
