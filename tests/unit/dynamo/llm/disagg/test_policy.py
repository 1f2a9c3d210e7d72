"""Where a prompt is prefilled."""

from __future__ import annotations

import pytest

from dynamo.llm.disagg.policy import DisaggregatedRouter, DisaggSettings, decide_place

RULE = DisaggSettings(max_local_prefill_length=100, max_prefill_queue_size=2)


@pytest.mark.parametrize(
    ("tokens", "hit", "depth", "place", "reason"),
    [
        (100, 0.0, 0, "local", "only 100 tokens missing"),
        (101, 0.0, 0, "remote", "101 tokens missing, 0 prompts wait"),
        (400, 0.75, 0, "local", "only 100 tokens missing"),
        (1000, 0.5, 1, "remote", "500 tokens missing, 1 prompts wait"),
        (1000, 0.5, 2, "local", "2 prompts wait in the prefill queue"),
        (0, 0.0, 0, "local", "only 0 tokens missing"),
    ],
)
def test_the_rule(tokens, hit, depth, place, reason):
    """Remote when more than the bound is missing after the prefix hit, and fewer than the bound wait."""
    choice = decide_place(RULE, tokens, hit, depth)
    assert (choice.place, choice.reason) == (place, reason)


def test_what_overrules_it():
    """Without the condition always remote; never to nobody, nor for a busy decode worker."""
    assert decide_place(DisaggSettings(conditional=False), 1, 1.0, 99).place == "remote"
    assert decide_place(RULE, 1000, 0, 0, prefill_workers=0).place == "local"
    assert decide_place(RULE, 1000, 0, 0, decode_busy=True).place == "local"
    assert decide_place(DisaggSettings(most_local_share=0.7), 100, 0.2, 0).place == "remote"
    assert decide_place(DisaggSettings(most_local_share=0.7), 100, 0.4, 0).place == "local"
    with pytest.raises(ValueError, match="share"):
        decide_place(RULE, 10, 1.5, 0)


def test_thresholds_change_while_it_runs():
    """New values count from the next prompt on; wrong ones change nothing."""
    router = DisaggregatedRouter(RULE)
    assert router.prefill_remote(150, 0.0, 0)
    router.update({"max-local-prefill-length": 200, "most_local_share": 1})
    assert not router.prefill_remote(150, 0.0, 0)
    before = router.settings
    for wrong in (
        {"max_local": 5},
        {"max_prefill_queue_size": -1},
        {"max_prefill_queue_size": "2"},
        {"conditional": 1},
    ):
        with pytest.raises(ValueError, match="`"):
            router.update({"max-local-prefill-length": 1, **wrong})
    assert router.settings == before
