"""The index of blocks, against a naive one."""

from __future__ import annotations

import random
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.llm import indexer
from dynamo.llm.hashing import block_hashes
from dynamo.llm.indexer import KvIndexer
from support.effort import examples


class Naive:
    """What each worker holds, as a set of prefixes."""

    def __init__(self) -> None:
        self.held = defaultdict(set)

    def match(self, hashes):
        scores = {}
        for worker, held in self.held.items():
            depth = 0
            while depth < len(hashes) and hashes[depth] in held:
                depth += 1
            if depth:
                scores[worker] = depth
        return scores


WORKERS = st.integers(1, 5)
PROMPTS = st.lists(st.integers(0, 1), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stored"), WORKERS, PROMPTS),
        st.tuples(st.just("removed"), WORKERS, PROMPTS),
        st.tuples(st.just("cleared"), WORKERS, st.just([])),
    ),
    max_size=60,
)


@settings(max_examples=examples(150))
@given(STEPS, st.lists(PROMPTS, min_size=1, max_size=5), st.integers(0, 3))
def test_it_answers_as_a_naive_index_would(steps, prompts, slowness):
    """Whatever is stored, removed and cleared, in any order: each worker's depth is right, also while it sweeps."""
    index, naive = KvIndexer(), Naive()
    before = indexer.SWEEP_BLOCKS, indexer.STRETCH_BLOCKS
    indexer.SWEEP_BLOCKS, indexer.STRETCH_BLOCKS = slowness, 1 + slowness
    try:
        for action, worker, prompt in steps:
            hashes = block_hashes(prompt, 1)
            if action == "stored":
                index.stored(worker, hashes)
                naive.held[worker] |= set(hashes)
            elif action == "removed":
                index.removed(worker, hashes[-2:])
                naive.held[worker] -= set(hashes[-2:])
            else:
                index.cleared(worker)
                naive.held[worker].clear()
            for asked in prompts:
                hashes = block_hashes(asked, 1)
                assert index.match(hashes) == naive.match(hashes)
        for worker, held in naive.held.items():
            assert index.blocks_of(worker) == len(held)
    finally:
        indexer.SWEEP_BLOCKS, indexer.STRETCH_BLOCKS = before


def test_workers_come_and_go_without_a_trace():
    """After many workers came and left, neither blocks nor bits of them are left behind."""
    index, chooser = KvIndexer(), random.Random(1)
    for worker in range(1, 400):
        index.stored(worker, [chooser.getrandbits(40) for _ in range(50)])
        index.gone(worker)
    for _ in range(3):
        index.stored(1000, [1])
        index.gone(1000)
    assert len(index) == 0
    assert index.workers == ()
    assert len(index._owners) <= 3


def test_many_workers_share_blocks():
    """A thousand workers that hold one prefix are all found, and one that left is not."""
    index = KvIndexer()
    hashes = block_hashes(range(32), 16)
    for worker in range(1000):
        index.stored(worker, hashes[: 1 + worker % 2])
    index.gone(500)
    assert index.match(hashes) == {worker: 1 + worker % 2 for worker in range(1000) if worker != 500}
