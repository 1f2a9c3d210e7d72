"""Chains of KV blocks, cut into rows of packed hashes that an index finds by their first one."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import compress, count

ANCHORS = bytes(byte < 8 for byte in range(256))
"""Blocks whose hash has such bits 32 to 39, one in 32, begin a row wherever they come. So all rows with a block begin
between the last anchor before it and itself, and to know who holds it no others need be looked at."""
_BYTE = 4 if sys.byteorder == "little" else 3


def cut_rows(hashes: Sequence[int]) -> tuple[list[int], list[bytes]]:
    """A chain of blocks in rows: the first hash of each, and all of it. Raises ValueError."""
    try:
        packed = array("Q", hashes).tobytes()
    except (OverflowError, TypeError) as error:
        raise ValueError(f"the hash of a block is not an unsigned 64-bit number: {error}") from error
    starts = [*compress(count(), packed[_BYTE::8].translate(ANCHORS))]
    if packed and (not starts or starts[0]):
        starts.insert(0, 0)
    ends = [*starts[1:], len(hashes)]
    rows = [packed[8 * start : 8 * end] for start, end in zip(starts, ends, strict=bool(starts))]
    return [hashes[start] for start in starts], rows


def is_anchor(key: int) -> bool:
    """Whether a block begins a row wherever it comes."""
    return ANCHORS[key >> 32 & 255] == 1


def count_common(one: bytes, other: bytes) -> int:
    """How many blocks of two rows are the same from the start."""
    size = min(len(one), len(other))
    differing = int.from_bytes(one[:size], "little") ^ int.from_bytes(other[:size], "little")
    return ((differing & -differing).bit_length() - 1) // 64 if differing else size // 8
