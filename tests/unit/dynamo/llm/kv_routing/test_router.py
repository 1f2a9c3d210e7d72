"""Which worker gets a prompt."""

from __future__ import annotations

from collections import Counter

import pytest

from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.load import ForwardPassMetrics, Work
from dynamo.llm.kv_routing.cost import build_linear_cost, compute_logit_cost
from dynamo.llm.kv_routing.router import KvRouter, NoWorkers, RouterSettings

TOKENS = list(range(64))


def router(seed=1, **settings):
    return KvRouter(RouterSettings(block_size=16, **settings), lambda: 0.0, seed)


def test_the_worker_that_holds_the_prefix_is_chosen():
    """With equal load the longest overlap wins, and the decision says so."""
    kv = router(cost=build_linear_cost(1.0))
    hashes = block_hashes(TOKENS, 16)
    kv.index.stored(1, hashes[:1])
    kv.index.stored(2, hashes[:3])
    decision = kv.route("a", TOKENS, [1, 2, 3])
    assert (decision.worker, decision.overlap_blocks, decision.prefix_hit_rate) == (2, 3, 0.75)
    assert decision.reason == "cost 5, 3 of 4 blocks held"
    assert decision.costs == {1: 7.0, 2: 5.0, 3: 8.0}
    assert str(decision) == "2_0.75"
    assert kv.prediction.get_work(2) == Work(16, 4, 1, recent=1)


def test_a_loaded_worker_loses_its_advantage():
    """What was just routed counts at once: with enough of it another worker is cheaper, until it is done."""
    kv = router(cost=build_linear_cost(1.0))
    kv.index.stored(1, block_hashes(TOKENS, 16))
    chosen = [kv.route(f"r{number}", TOKENS, [1, 2]).worker for number in range(3)]
    assert chosen == [1, 2, 1]
    for number in range(3):
        kv.first_token(f"r{number}")
        kv.finished(f"r{number}")
    assert kv.route("next", TOKENS, [1, 2]).worker == 1


def test_ties_go_to_the_least_loaded_and_then_to_chance():
    """Equal costs: fewest requests; then any, by the request's name: two routers with one seed agree."""
    kv = router(cost=lambda prompt, candidates: [0.0] * len(candidates))
    kv.prediction.add_request("x", 1, 0, 0)
    assert {kv.decide(TOKENS, [1, 2], [], str(number)).worker for number in range(20)} == {2}
    spread = Counter(kv.decide(TOKENS, [2, 3, 4], [], str(number)).worker for number in range(300))
    assert set(spread) == {2, 3, 4} and min(spread.values()) > 60
    first, second = router(seed=7), router(seed=7)
    second.decide(TOKENS, [1, 2, 3], [], "one more")
    assert [first.decide(TOKENS, [1, 2, 3], [], str(number)).worker for number in range(30)] == [
        second.decide(TOKENS, [1, 2, 3], [], str(number)).worker for number in range(30)
    ]


def test_ties_go_to_who_was_sent_the_least_lately():
    """Idle workers that hold the same share the talks that begin: those talks come back to where they began."""
    kv = router()
    for number in range(20):
        kv.route(str(number), list(range(1000 * number, 1000 * number + 64)), [1, 2])
        kv.finished(str(number))
    assert [kv.prediction.get_work(worker).recent for worker in (1, 2)] == [10, 10]


def test_the_guard_overrules_the_prefix():
    """With far too many requests on one worker the next goes elsewhere, whatever it holds."""
    kv = router(imbalance_requests=3, cost=compute_logit_cost)
    kv.index.stored(1, block_hashes(TOKENS, 16))
    chosen = [kv.route(str(number), TOKENS, [1, 2]) for number in range(5)]
    assert [decision.worker for decision in chosen] == [1, 1, 1, 1, 2]
    assert chosen[-1].reason == "imbalance: 4 requests on one worker, 0 on another"
    off = router(imbalance_requests=0, cost=compute_logit_cost)
    off.index.stored(1, block_hashes(TOKENS, 16))
    assert {off.route(str(number), TOKENS, [1, 2]).worker for number in range(200)} == {1}


def test_approximate_routing_remembers_its_decisions():
    """Without events, a second turn goes where the first one went."""
    kv = router(mode="approximate")
    first = kv.route("a", TOKENS, [1, 2, 3])
    kv.finished("a")
    for _ in range(5):
        again = kv.route("b", [*TOKENS, 1, 2, 3], [1, 2, 3])
        assert (again.worker, again.overlap_blocks) == (first.worker, 4)
        kv.finished("b")
    kv.gone(first.worker)
    assert kv.decide(TOKENS, [1, 2, 3], block_hashes(TOKENS, 16)).overlap_blocks == 0


def test_round_robin_and_random_know_the_overlap_too():
    """They do not choose by it, and still tell it."""
    turns = router(mode="round-robin")
    turns.index.stored(2, block_hashes(TOKENS, 16))
    decisions = [turns.route(str(number), TOKENS, [1, 2]) for number in range(4)]
    assert [(decision.worker, decision.overlap_blocks) for decision in decisions] == [(1, 0), (2, 4), (1, 0), (2, 4)]
    chance = router(mode="random")
    assert {chance.route(str(number), TOKENS, [1, 2]).worker for number in range(50)} == {1, 2}


def test_metrics_and_temperature_have_their_say():
    """The early formula reads the workers' numbers; temperature draws also from the dearer ones."""
    kv = router(cost=compute_logit_cost)
    kv.aggregator.heard(1, ForwardPassMetrics(gpu_cache_usage_perc=0.9))
    assert kv.decide(TOKENS, [1, 2], []).worker == 2
    warm = router(temperature=1.0)
    warm.index.stored(1, block_hashes(TOKENS, 16))
    hashes = block_hashes(TOKENS, 16)
    drawn = Counter(warm.decide(TOKENS, [1, 2], hashes, str(number)).worker for number in range(400))
    assert drawn[1] > drawn[2] > 40


def test_nobody_and_nonsense():
    """Without workers, and with a cost function that gives no numbers, the error says so."""
    with pytest.raises(NoWorkers):
        router().route("a", TOKENS, [])
    with pytest.raises(ValueError, match="the cost function gave"):
        router(cost=lambda prompt, candidates: [float("nan")]).route("a", TOKENS, [1])
