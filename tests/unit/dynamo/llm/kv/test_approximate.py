"""Routing without events."""

from __future__ import annotations

from dynamo.llm.kv.approximate import ApproxKvIndexer


def test_what_was_routed_is_believed_for_a_while():
    """A prompt's blocks are found where it was sent, until the time is up; sending it again renews it."""
    index = ApproxKvIndexer(seconds=10)
    index.routed(1, [5, 6, 7], now=0)
    index.routed(2, [5, 8], now=6)
    index.routed(1, [5], now=8)
    assert index.match([5, 6, 7], now=9) == {1: 3, 2: 1}
    assert index.match([5, 6, 7], now=10) == {1: 1, 2: 1}
    assert index.match([5, 6, 7], now=16) == {1: 1}
    assert index.match([5, 6, 7], now=18) == {}
    assert index.blocks_of(1) == index.blocks_of(2) == 0


def test_of_too_many_blocks_the_ends_of_old_prompts_go_first():
    """The bound holds for each worker, and what is left is still a prefix."""
    index = ApproxKvIndexer(blocks_per_worker=4)
    index.routed(1, [1, 2, 3], now=0)
    index.routed(1, [1, 4, 5], now=1)
    assert index.blocks_of(1) == 4
    assert index.match([1, 2, 3], now=1) == {1: 2}
    assert index.match([1, 4, 5], now=1) == {1: 3}


def test_a_worker_that_left_is_forgotten():
    """Nothing is routed to it because of what it held."""
    index = ApproxKvIndexer()
    index.routed(1, [1], now=0)
    index.gone(1)
    assert index.match([1], now=0) == {} and index.workers == ()
