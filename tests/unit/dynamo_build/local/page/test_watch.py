"""Looking at a running graph again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dynamo.rpc.metrics import Metrics
from dynamo_build.local.page.watch import Watch


class Played:
    """A graph of two workers whose counters the test moves; `gone` and `deaf` are its faults."""

    def __init__(self) -> None:
        self.counted = {"A.1": Metrics(), "A.2": Metrics()}
        self.gone = False
        self.deaf: set[str] = set()

    def read_status(self) -> Mapping[str, Any]:
        if self.gone:
            raise ConnectionRefusedError(111, "Connection refused")
        return {"workers": [{"worker": name, "service": "A", "state": "ready", "pid": 1} for name in self.counted]}

    def read_metrics(self, worker: Mapping[str, Any]) -> str:
        if worker["worker"] in self.deaf:
            raise TimeoutError
        return self.counted[worker["worker"]].render_text({"service": "A"}) + 'kv_hit_rate{service="A"} 0.5\n'

    def read_logs(self, lines: int) -> Sequence[str]:
        return ["one", "two"][-lines:]


def test_rates_grow_over_the_window() -> None:
    """A second look gives rates; values that belong to no endpoint are gauges."""
    graph, now = Played(), [0.0]
    watch = Watch(graph, clock=lambda: now[0])
    watch.poll_graph()
    assert watch.state.rates == () and watch.state.logs == ("one", "two")
    assert [gauge.value for gauge in watch.state.gauges] == [0.5, 0.5]
    for metrics in graph.counted.values():
        metrics.count_started("e")
        metrics.count_ended("e", "ok", 0.01)
    now[0] = 2.0
    watch.poll_graph()
    (rate,) = watch.state.rates
    assert rate.requests == 1.0


def test_a_worker_that_does_not_answer_is_shown_without_numbers() -> None:
    """The others keep theirs."""
    graph = Played()
    graph.counted["A.2"].count_started("e")
    graph.deaf.add("A.1")
    watch = Watch(graph, clock=lambda: 0.0)
    watch.poll_graph()
    assert len(watch.state.workers) == 2
    assert [rate.running for rate in watch.state.rates] == [1]


def test_a_graph_that_ended_and_came_back() -> None:
    """The page says that it is gone, and forgets what it counted."""
    graph = Played()
    watch = Watch(graph, clock=lambda: 0.0)
    watch.poll_graph()
    graph.gone = True
    watch.poll_graph()
    assert watch.state.error == "it does not answer: connection refused"
    graph.gone = False
    watch.poll_graph()
    assert watch.state.error == "" and watch.state.rates == ()
