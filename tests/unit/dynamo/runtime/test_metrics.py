"""Counts in Prometheus' form."""

from __future__ import annotations

from dynamo.runtime.metrics import Metrics


def test_text():
    """Outcomes, running requests and cumulative buckets are shown; labels are escaped."""
    metrics = Metrics()
    metrics.began("a")
    metrics.ended("a", "ok", 0.004)
    metrics.began("a")
    text = metrics.text({"service": 'x"y'})
    assert 'dynamo_requests_total{endpoint="a",outcome="ok",service="x\\"y"} 1' in text
    assert 'dynamo_requests_running{endpoint="a",service="x\\"y"} 1' in text
    assert 'le="0.001"} 0' in text
    assert 'le="0.005"} 1' in text
    assert 'le="+Inf"} 1' in text
