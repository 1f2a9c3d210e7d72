"""Load, as told and as predicted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.kv import load
from dynamo.llm.kv.load import RECENT, ForwardPassMetrics, KvMetricsAggregator, LoadMessage, Prediction, Work


def test_a_worker_looks_idle_before_it_says_anything():
    """The seven numbers start as those of the reference do, in its order."""
    assert ForwardPassMetrics.__struct_fields__ == (
        "request_active_slots",
        "request_total_slots",
        "kv_active_blocks",
        "kv_total_blocks",
        "num_requests_waiting",
        "gpu_cache_usage_perc",
        "gpu_prefix_cache_hit_rate",
    )
    metrics = ForwardPassMetrics()
    assert tuple(getattr(metrics, name) for name in metrics.__struct_fields__) == (0, 1024, 0, 1024, 0, 0.0, 0.0)


def test_silent_workers_are_forgotten():
    """A worker's last numbers are kept until it is silent for too long."""
    now = 0.0
    aggregator = KvMetricsAggregator(lambda: now, patience=5)
    aggregator.heard(1, ForwardPassMetrics(num_requests_waiting=3))
    now = 4.0
    aggregator.heard(2, ForwardPassMetrics())
    assert aggregator.get(1).num_requests_waiting == 3
    now = 6.0
    assert aggregator.silent() == [1]
    assert aggregator.workers == (2,)
    assert aggregator.get(1) == ForwardPassMetrics()
    aggregator.gone(2)
    assert aggregator.workers == ()


def test_messages_travel():
    """What is decoded is what was encoded; anything else is a ValueError."""
    message = LoadMessage(worker=2**47, session=5, number=6, metrics=ForwardPassMetrics(kv_active_blocks=9))
    assert load.decode_message(load.encode_message(message)) == message
    with pytest.raises(ValueError):
        load.decode_message(b"\xc0")


def test_prediction_follows_a_request():
    """Work is there when a request is routed, less after its first token, none at its end; twice is no matter."""
    prediction = Prediction(lambda: 0.0)
    prediction.add_request("a", 1, 100, 7)
    assert prediction.get_work(1) == Work(100, 7, 1, recent=1)
    prediction.end_prefill("a")
    prediction.end_prefill("a")
    assert prediction.get_work(1) == Work(0, 7, 1, recent=1)
    prediction.remove_request("a")
    prediction.remove_request("a")
    assert prediction.get_work(1) == Work(recent=1)
    prediction.end_prefill("never")


def test_requests_that_never_end_are_forgotten():
    """A request whose end was lost does not weigh on its worker for ever."""
    now = 0.0
    prediction = Prediction(lambda: now, patience=10)
    prediction.add_request("lost", 1, 100, 7)
    now = 11.0
    prediction.add_request("next", 2, 1, 1)
    assert prediction.get_work(1) == Work(recent=1)


def test_what_was_routed_lately_counts_longest_ago_least():
    """A worker that got all of it once is not the busier one for ever, and one that left leaves nothing."""
    prediction = Prediction(lambda: 0.0)
    for worker in [1] * 200 + [2] * 60:
        prediction.add_request("a", worker, 1, 1)
    assert 0 < prediction.get_work(1).recent < prediction.get_work(2).recent <= 2 * RECENT
    prediction.gone(2)
    prediction.add_request("b", 2, 1, 1)
    assert prediction.get_work(2).recent == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add_request", "end_prefill", "remove_request", "gone"]),
        st.sampled_from("abcd"),
        st.integers(1, 3),
        st.integers(0, 50),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_left_over(steps):
    """However requests and workers come and go, the count is never negative and ends at nothing."""
    prediction = Prediction(lambda: 0.0)
    for action, request, worker, amount in steps:
        if action == "add_request":
            prediction.add_request(request, worker, amount, amount)
        elif action == "gone":
            prediction.gone(worker)
        else:
            getattr(prediction, action)(request)
        assert all(
            min(work.prefill_tokens, work.blocks, work.requests) >= 0 for work in prediction.list_work([1, 2, 3])
        )
        assert sum(work.recent for work in prediction.list_work([1, 2, 3])) == prediction._recent
    for request in "abcd":
        prediction.remove_request(request)
    for work in prediction.list_work([1, 2, 3]):
        assert work == Work(recent=work.recent)
