"""Counts in Prometheus' form."""

from __future__ import annotations

from dynamo.rpc.metrics import Metrics


def test_text():
    """Outcomes, running requests and cumulative buckets are shown; labels are escaped."""
    metrics = Metrics()
    metrics.count_started("a")
    metrics.count_ended("a", "ok", 0.004)
    metrics.count_started("a")
    text = metrics.render_text({"service": 'x"y'})
    assert 'dynamo_requests_total{endpoint="a",outcome="ok",service="x\\"y"} 1' in text
    assert 'dynamo_requests_running{endpoint="a",service="x\\"y"} 1' in text
    assert 'le="0.001"} 0' in text
    assert 'le="0.005"} 1' in text
    assert 'le="+Inf"} 1' in text


def test_show():
    """What somebody else knows is read when the page is asked for; a second value of a name takes the first's place."""
    metrics, depth = Metrics(), [0.0]
    metrics.show("dynamo_depth", "Waiting.", lambda: 1.0)
    metrics.show("dynamo_depth", "Waiting.", lambda: depth[0])
    depth[0] = 0.25
    text = metrics.render_text({"service": "a"})
    assert text.endswith('# HELP dynamo_depth Waiting.\n# TYPE dynamo_depth gauge\ndynamo_depth{service="a"} 0.25\n')
