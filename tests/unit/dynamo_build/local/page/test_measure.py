"""Rates and percentiles from what workers count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.rpc.metrics import BOUNDS, Metrics
from dynamo_build.local.page.measure import Look, compute_quantile, compute_rates, parse_samples


def look(metrics: Metrics, seconds: float, *, worker: str = "Backend", pid: int = 1) -> Look:
    """A look at what a worker really writes."""
    return Look(
        worker=worker, pid=pid, seconds=seconds, values=parse_samples(metrics.render_text({"service": "Backend"}))
    )


def test_rates_between_two_looks() -> None:
    """Requests and failures a second, what runs, and percentiles of what ended in between, not before."""
    metrics = Metrics()
    for _ in range(1000):
        metrics.count_started("generate")
        metrics.count_ended("generate", "ok", 4.0)
    first = look(metrics, 10.0)
    for number in range(100):
        metrics.count_started("generate")
        metrics.count_ended("generate", "deadline" if number < 10 else "ok", 0.003)
    metrics.count_started("generate")
    (rate,) = compute_rates([first], [look(metrics, 12.0)])
    assert (rate.service, rate.endpoint) == ("Backend", "generate")
    assert rate.requests == pytest.approx(50)
    assert rate.failures == pytest.approx(5)
    assert rate.running == 1
    assert rate.p50 is not None and 0.001 < rate.p50 <= 0.005


def test_workers_are_summed_and_a_restart_counts_from_zero() -> None:
    """Two workers of a service are one line; counters that began anew give no negative rate."""
    one, two = Metrics(), Metrics()
    before = [look(one, 0.0, worker="1"), look(two, 0.0, worker="2", pid=7)]
    for metrics in (one, two):
        for _ in range(10):
            metrics.count_started("e")
            metrics.count_ended("e", "ok", 0.02)
    fresh = Metrics()
    fresh.count_started("e")
    (both,) = compute_rates(before, [look(one, 1.0, worker="1"), look(two, 1.0, worker="2", pid=7)])
    assert both.requests == pytest.approx(20)
    (rest,) = compute_rates(before, [look(one, 1.0, worker="1"), look(fresh, 1.0, worker="2", pid=8)])
    assert rest.requests == pytest.approx(10)
    assert rest.running == 1


@given(st.lists(st.floats(0.0001, 29.0), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(seconds: list[float], part: float) -> None:
    """The estimate is never off by more than its bucket."""
    buckets = {bound: float(sum(value <= bound for value in seconds)) for bound in (*BOUNDS, math.inf)}
    found = compute_quantile(buckets, part)
    true = sorted(seconds)[max(0, math.ceil(part * len(seconds)) - 1)]
    upper = next(bound for bound in (*BOUNDS, math.inf) if true <= bound)
    lower = max((bound for bound in (0.0, *BOUNDS) if bound < true), default=0.0)
    assert found is not None and lower <= found <= upper


@given(st.text())
def test_no_page_breaks_the_reader(text: str) -> None:
    """Whatever a port answers, reading it raises nothing."""
    compute_rates([], [Look(worker="w", pid=1, seconds=0.0, values=parse_samples(text))])


def test_nothing_ended() -> None:
    """No percentile of nothing."""
    assert compute_quantile({}, 0.5) is None
    assert compute_quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None


@given(st.text(max_size=20))
def test_labels_come_back_as_they_were(endpoint: str) -> None:
    """An endpoint's name survives the text form, whatever is in it but a line break of its own kind."""
    metrics = Metrics()
    metrics.count_started(endpoint)
    text = metrics.render_text({"service": "s"})
    if len((endpoint + "x").splitlines()) > 1:
        return
    (rate,) = compute_rates([], [Look(worker="w", pid=1, seconds=0.0, values=parse_samples(text))])
    assert rate.endpoint == endpoint
