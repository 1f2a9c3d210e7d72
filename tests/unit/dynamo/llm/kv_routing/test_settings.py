"""Routing as a configuration says it."""

from __future__ import annotations

import pytest

from dynamo import llm
from dynamo.llm.kv.load import ForwardPassMetrics, Work
from dynamo.llm.kv_routing.cost import Candidate, Prompt, compute_logit_cost
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.settings import router_settings
from dynamo.sdk.errors import CannotStart


def dearest(prompt, candidates):
    """A user's own: the higher the number, the better."""
    return [-one.worker for one in candidates]


def test_all_of_it():
    """Every key with dashes or underscores; keys of others are left alone."""
    found = router_settings(
        {
            "router": "approximate",
            "block-size": 32,
            "router_temperature": 1,
            "router-imbalance-requests": 0,
            "router-imbalance-ratio": 2.5,
            "router-approximate-seconds": 9,
            "router-approximate-blocks": 10,
            "router-cost": "logit",
            "model": "x",
        }
    )
    assert found == RouterSettings(
        block_size=32,
        mode="approximate",
        cost=compute_logit_cost,
        temperature=1,
        imbalance_requests=0,
        imbalance_ratio=2.5,
        approximate_seconds=9,
        approximate_blocks=10,
    )
    assert router_settings({}).mode == "kv"


def test_a_cost_function_of_the_users():
    """`module:function` is loaded, and the weight reaches the built-in one."""
    one = Candidate(1, 1, ForwardPassMetrics(), Work())
    prompt = Prompt(tokens=64, block_size=16)
    own = router_settings({"router-cost": f"{__name__}:dearest"})
    assert own.cost(prompt, [one]) == [-1]
    assert router_settings({"overlap-weight": 3}).cost(prompt, [one]) == [3 * 3 + 4]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"router": "fast"}, "not a routing mode"),
        ({"block-size": 0}, "`block-size` cannot be 0"),
        ({"block-size": "64"}, "cannot be '64'"),
        ({"block-size": True}, "cannot be True"),
        ({"router-temperature": -1}, "cannot be -1"),
        ({"overlap-weight": "much"}, "`overlap-weight`"),
        ({"router-cost": "cheap"}, "not a cost function"),
        ({"router-cost": "no_such_module:cost"}, "cannot be loaded"),
    ],
)
def test_mistakes_are_named(values, said):
    """The key and the value that is wrong, as what no restart mends."""
    with pytest.raises(CannotStart, match=said):
        router_settings(values)


def test_the_public_names_are_there():
    """Every name of `dynamo.llm` loads, and another one is refused by name."""
    assert all(getattr(llm, name) for name in llm.__all__)
    assert set(llm.__all__) == set(llm._HOME)
    with pytest.raises(AttributeError, match="no `KvRooter`"):
        llm.KvRooter
