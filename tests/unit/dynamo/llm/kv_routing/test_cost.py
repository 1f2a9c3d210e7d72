"""The cost functions, by hand."""

from __future__ import annotations

import pytest

from dynamo.llm.kv.load import ForwardPassMetrics, Work
from dynamo.llm.kv_routing.cost import Candidate, Prompt, build_linear_cost, compute_logit_cost, load_cost

PROMPT = Prompt(tokens=100, block_size=10)


def candidate(overlap=0, usage=0.0, waiting=0, prefill=0, blocks=0):
    metrics = ForwardPassMetrics(gpu_cache_usage_perc=usage, num_requests_waiting=waiting)
    return Candidate(worker=1, overlap_blocks=overlap, metrics=metrics, work=Work(prefill, blocks, 0))


def test_linear_counts_blocks_to_prefill_and_in_use():
    """Missing tokens and those in line, as blocks, weighted, and all blocks in use."""
    candidates = [candidate(), candidate(overlap=6), candidate(overlap=6, prefill=55, blocks=3)]
    assert build_linear_cost(1.0)(PROMPT, candidates) == [20.0, 14.0, 22.5]
    assert build_linear_cost(2.0)(PROMPT, candidates) == [30.0, 18.0, 32.0]


def test_a_prompt_that_is_held_whole_still_costs_a_token():
    """The last token is computed always, and an empty prompt costs nothing."""
    assert build_linear_cost(1.0)(PROMPT, [candidate(overlap=10)]) == [10.1]
    assert build_linear_cost()(Prompt(tokens=0, block_size=10), [candidate()]) == [0.0]
    assert Prompt(tokens=0, block_size=10).hit_rate(candidate()) == 0.0


def test_logit_is_the_formula_of_the_early_sdk():
    """2·overlap - usage - waiting/most, negated so that the lowest is the best."""
    candidates = [candidate(overlap=5, usage=0.25, waiting=2), candidate(waiting=4), candidate()]
    assert compute_logit_cost(PROMPT, candidates) == [0.25 + 0.5 - 1.0, 1.0, 0.0]
    assert compute_logit_cost(PROMPT, [candidate()]) == [0.0]
    assert compute_logit_cost(PROMPT, []) == []


def test_costs_by_name():
    """Configurations name them, the user's own by module and function."""
    assert load_cost("linear", 2.0)(PROMPT, [candidate()]) == [30.0]
    assert load_cost("logit") is compute_logit_cost
    assert load_cost("dynamo.llm.kv_routing.cost:compute_logit_cost") is compute_logit_cost


@pytest.mark.parametrize(
    "name", ["", "best", "nowhere:cost", "dynamo.llm.kv_routing.cost:missing", "dynamo.llm.kv_routing.cost:__name__"]
)
def test_wrong_names_are_refused(name):
    """What cannot be loaded, or called, is a ValueError."""
    with pytest.raises(ValueError, match="function"):
        load_cost(name)
