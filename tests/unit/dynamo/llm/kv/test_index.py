"""The index of blocks, against a naive one."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.llm.kv import block_rows
from dynamo.llm.kv import index as indexer
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.held_blocks import HeldBlocks, split_removal
from dynamo.llm.kv.index import KvIndexer
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
PROMPTS = st.lists(st.integers(0, 1), max_size=8)
PLACES = st.sets(st.integers(0, 7))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stored"), WORKERS, PROMPTS, st.integers(0, 7)),
        st.tuples(st.just("removed"), WORKERS, PROMPTS, PLACES),
        st.tuples(st.just("evicted"), WORKERS, PROMPTS, st.integers(0, 7)),
        st.tuples(st.just("cleared"), WORKERS, st.just([]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=examples(250))
@given(STEPS, st.lists(PROMPTS, min_size=1, max_size=5), st.integers(0, 3), st.sampled_from([0, 32, 128, 256]))
def test_it_answers_as_a_naive_index_would(steps, prompts, slowness, anchors):
    """Whatever is stored, removed and cleared, whole prompts, ends and holes in any order: each worker's depth is
    right, also while it settles, and with no anchors, some or nothing else. Even workers say what is before the blocks
    that they remove.
    """
    index, naive, said = KvIndexer(), Naive(), defaultdict(HeldBlocks)
    before = indexer.SWEEP_BLOCKS, indexer.STEP_BLOCKS, block_rows.ANCHORS
    indexer.SWEEP_BLOCKS, indexer.STEP_BLOCKS = slowness, slowness
    block_rows.ANCHORS = bytes(byte < anchors for byte in range(256))
    try:
        for action, worker, prompt, where in steps:
            hashes = block_hashes(prompt, 1)
            if action == "stored":
                index.stored(worker, hashes[where:])
                said[worker].store_blocks(hashes[where:])
                naive.held[worker] |= set(hashes[where:])
            elif action == "cleared":
                index.cleared(worker)
                said[worker].clear_blocks()
                naive.held[worker].clear()
            else:
                gone = hashes[where:] if action == "evicted" else [hashes[at] for at in where if at < len(hashes)]
                if worker % 2:
                    index.removed(worker, gone[::-1] if len(prompt) % 2 else gone)
                else:
                    for event in said[worker].remove_blocks(reversed(gone)):
                        for part in split_removal(event, 3):
                            index.removed(worker, part.hashes, part.after)
                naive.held[worker] -= set(gone)
            for asked in prompts:
                hashes = block_hashes(asked, 1)
                assert index.match(hashes) == naive.match(hashes)
        for worker, held in naive.held.items():
            assert index.blocks_of(worker) == len(held)
    finally:
        indexer.SWEEP_BLOCKS, indexer.STEP_BLOCKS, block_rows.ANCHORS = before


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


def test_a_hash_is_an_unsigned_number_of_64_bits():
    """Anything else is refused, and nothing changed."""
    index = KvIndexer()
    for hashes in ([-1], [2**64], ["1"]):
        with pytest.raises(ValueError, match="unsigned 64-bit"):
            index.stored(1, hashes)
    assert len(index) == 0 and index.match([2**64]) == {}


def test_what_it_keeps_of_removed_blocks_is_bounded():
    """Blocks removed one by one from the end, and such as were never held, leave nothing behind in the long run."""
    index, chooser = KvIndexer(), random.Random(1)
    chains = [[chooser.getrandbits(64) for _ in range(50)] for _ in range(100)]
    for turn in range(600):
        chain = chains[turn % 100]
        index.stored(1, chain)
        for key in reversed(chain):
            index.removed(1, [key])
        index.removed(1, [chooser.getrandbits(64)])
    assert len(index) <= 100 * 50
    assert len(index._removed) + len(index._settling) + len(index._settled) <= 3 * (indexer.SWEEP_BLOCKS + 100 * 50)
    assert index.blocks_of(1) == 0
