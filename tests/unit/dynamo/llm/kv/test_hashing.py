"""Names of blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.kv.hashing import ROOT, block_hashes, root_of

TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def test_names_are_the_same_everywhere():
    """The numbers are part of what workers and routers agree on: they do not change between versions or machines."""
    assert block_hashes(range(5), 2) == [6051289116976100548, 4494011819999877692]
    assert root_of("adapter") == 8095946117281146536


@given(TOKENS, TOKENS, st.integers(1, 5))
def test_a_name_says_its_whole_prefix(first, second, size):
    """Hashes agree exactly as far as the tokens do, in whole blocks."""
    common = 0
    while common < min(len(first), len(second)) and first[common] == second[common]:
        common += 1
    left, right = block_hashes(first, size), block_hashes(second, size)
    assert len(left) == len(first) // size
    for index, pair in enumerate(zip(left, right, strict=False)):
        assert (pair[0] == pair[1]) == ((index + 1) * size <= common)


@given(TOKENS, st.integers(1, 5), st.integers(0, 5))
def test_a_chain_can_be_continued(tokens, size, blocks):
    """Hashing the rest after a known block gives the same names as hashing all at once."""
    whole = block_hashes(tokens, size)
    known = min(blocks, len(whole))
    parent = whole[known - 1] if known else ROOT
    assert block_hashes(tokens[known * size :], size, parent=parent) == whole[known:]


def test_extra_content_and_adapters_make_other_names():
    """What is not in the tokens but decides over the block changes its name and those of all that follow."""
    plain = block_hashes(range(6), 2)
    image = block_hashes(range(6), 2, extra=[None, ("image", 7), None])
    assert plain[0] == image[0] and plain[1] != image[1] and plain[2] != image[2]
    assert block_hashes(range(6), 2, parent=root_of("lora")) != plain
    assert root_of("") == ROOT


@pytest.mark.parametrize(("tokens", "size"), [([-1], 1), ([2**32], 1), ([1.5], 1), ([1], 0)])
def test_what_is_no_token_is_refused(tokens, size):
    """Token ids are unsigned 32-bit numbers, and a block has at least one."""
    with pytest.raises(ValueError, match="token"):
        block_hashes(tokens, size)
