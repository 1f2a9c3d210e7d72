"""Names of KV blocks: what a block holds and all before it, as one number that workers and routers compute alike."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

ROOT = 0
"""What the first block of a prompt follows."""

_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def block_hashes(
    tokens: Sequence[int], block_size: int, *, parent: int = ROOT, extra: Sequence[Any] | None = None
) -> list[int]:
    """The chained hashes of the full blocks of a token sequence; a last block that is not full has none.

    `parent` is the hash of the block before the first. `extra` is what else decides over the content of each block
    (images in it, say), one entry for each. Raises ValueError for a token that is not an unsigned 32-bit number.
    """
    if block_size < 1:
        raise ValueError(f"a block of {block_size} tokens is not one")
    try:
        numbers = array("I", tokens)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"a token id is not an unsigned 32-bit number: {error}") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    content = numbers.tobytes()
    width = 4 * block_size
    before = parent.to_bytes(8, "little")
    digests = []
    for start in range(0, len(content) - width + 1, width):
        block = before + content[start : start + width]
        if extra is not None and extra[start // width]:
            block += _pack(extra[start // width])
        before = blake2b(block, digest_size=8).digest()
        digests.append(before)
    return list(struct.unpack(f"<{len(digests)}Q", b"".join(digests)))


def root_of(name: str) -> int:
    """What first blocks follow when not the plain model computed them but its adapter of that name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") if name else ROOT
