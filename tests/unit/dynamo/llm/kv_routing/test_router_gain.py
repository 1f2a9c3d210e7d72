"""What routing by prefix is worth, on simulated engines: the bounds that the benchmark's tables are held to."""

from __future__ import annotations

import pytest

from support.routing_simulation import Simulation, Workload


def both(kind, rate, workers, seconds=14.0):
    return [
        Simulation(mode, Workload(kind=kind, rate=rate, seconds=seconds, workers=workers)).run()
        for mode in ("kv", "round-robin")
    ]


def test_shared_prefixes_are_answered_far_sooner():
    """At three quarters of round-robin's saturation the median is at most half, and the slowest tenth a fifth."""
    kv, turns = both("tenants", 30, 8, 30.0)
    assert kv.quantile(0.5) * 2 <= turns.quantile(0.5)
    assert kv.quantile(0.9) * 5 <= turns.quantile(0.9)
    assert kv.hit_rate > 0.8 > 0.5 > turns.hit_rate
    assert kv.rejected == 0 and kv.answered == kv.asked


@pytest.mark.parametrize("rate", [20, 42])
def test_unshared_prompts_are_no_worse_off(rate):
    """Where nothing is shared the load decides, and nothing is lost against taking turns."""
    kv, turns = both("unshared", rate, 4)
    assert kv.quantile(0.5) <= turns.quantile(0.5) * 1.03
    assert kv.quantile(0.9) <= turns.quantile(0.9) * 1.03
