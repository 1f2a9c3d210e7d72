"""Index of the KV blocks of each worker: rows of chained hashes, found by their first one.

A table with an entry for each block is bound by one cache miss a block, to fill as to ask. Here the blocks of a prompt
lie in a row and are compared as bytes; the table has an entry for some thirty of them (measured in docs/benchmarks.md).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import compress, count, groupby, repeat

from dynamo.llm.kv.block_rows import count_common, cut_rows

SWEEP_BLOCKS = 4096
"""How many removed blocks wait at least before they are settled."""
STEP_BLOCKS = 512
"""How many blocks one call settles at least: no call is held up by a large table."""


class KvIndexer:
    """The blocks of all workers. Not thread-safe; every method returns within microseconds for each block it is given.

    Hashes are unsigned 64-bit numbers, else ValueError. Blocks that are removed are noted beside the rows, and a
    worker that leaves or clears its blocks loses its bit at once; later calls settle both in the rows, some blocks at
    a time, and then the bit is given away again.
    """

    def __init__(self) -> None:
        self._rows: dict[int, bytes] = {}
        self._masks: dict[int, int] = {}
        self._size = 0
        self._removed: dict[int, int] = {}
        self._bits: dict[int, int] = {}
        self._owners: list[int | None] = []
        self._spare: list[int] = []
        self._alive = 0
        self._dead = 0
        self._unswept: list[int] = []
        self._sweeping = 0
        self._settling: dict[int, int] = {}
        self._settled: dict[int, int] = {}

    def __len__(self) -> int:
        """How many blocks are in the rows, those not settled yet included."""
        return self._size

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that stored anything, in the order in which they came."""
        return tuple(self._bits)

    def stored(self, worker: int, hashes: Sequence[int]) -> None:
        """A worker holds these blocks too, each of which follows the one before it."""
        # A row is found by its first block alone. Chained hashes make that safe: equal hashes mean equal blocks before
        # them too, so two prompts that share a row's first block may differ only from some block of the row onwards.
        heads, rows = cut_rows(hashes)
        bit = self._bits.get(worker) or self._assign_bit(worker)
        for marks in (self._removed, self._settling):
            if marks and not marks.keys().isdisjoint(hashes):
                _clear_marks(marks, bit, hashes)
        known = list(map(self._rows.get, heads))
        if known == rows:  # the common case by far: another worker has the same prompt, and only bits change
            masks = self._masks
            for head in heads:
                masks[head] |= bit
        elif not any(known):
            self._rows.update(zip(heads, rows, strict=True))
            self._masks.update(dict.fromkeys(heads, bit))
            self._size += len(hashes)
        else:
            for row in rows:
                self._place_row(row, bit)
        self._sweep_rows(len(hashes))

    def removed(self, worker: int, hashes: Sequence[int], after: Sequence[int] | None = None) -> None:
        """A worker holds these blocks no more; those it never had are no matter.

        `after` are the blocks before them, at least from the last anchor (`block_rows.is_anchor`), or from where what
        the worker stored begins, and these are in a row: `HeldBlocks.removed` tells both. Without it they are noted,
        in any order, and settled later. A worker's removals have it always or never.
        """
        bit = self._bits.get(worker)
        if not bit:
            return
        if after is None:
            self._mark_removed(bit, hashes)
        else:
            chain, start, first = [*after, *hashes], 0, len(after)
            for row in cut_rows(chain)[1]:
                end = start + len(row) // 8
                if end > first:
                    self._remove_row(bit, chain[start:end], row, max(first - start, 0))
                start = end
        self._sweep_rows(len(hashes))

    def cleared(self, worker: int) -> None:
        """A worker holds nothing any more, or is gone. Takes the same short time however much it held."""
        bit = self._bits.pop(worker, 0)
        if bit:
            self._owners[bit.bit_length() - 1] = None
            self._alive ^= bit
            self._dead |= bit
            self._sweep_rows(0)

    gone = cleared

    def match(self, hashes: Sequence[int]) -> dict[int, int]:
        """How many blocks from the start of a prompt each worker holds; workers with none are left out."""
        scores: dict[int, int] = {}
        active = self._masks.get(hashes[0], 0) & self._alive if hashes else 0
        if not active:
            return scores
        heads, rows = cut_rows(hashes)
        depth, marked = 0, self._removed or self._settling
        held = map(self._rows.get, heads), map(self._masks.get, heads, repeat(0))
        for row, known, mask in zip(rows, *held, strict=True):
            if known is None:
                break
            end = depth + len(row) // 8
            if (
                (known == row or known.startswith(row))
                and mask & active == active
                and not (marked and active & self._find_lost(hashes[depth:end]))
            ):
                depth = end
                continue
            for holders in self._find_holders(hashes[depth:end], row):
                left = active & ~holders
                if left:
                    self._set_scores(scores, left, depth)
                    active ^= left
                    if not active:
                        return scores
                depth += 1
        self._set_scores(scores, active, depth)
        return scores

    def blocks_of(self, worker: int) -> int:
        """How many blocks a worker holds; looks through the whole table."""
        bit = self._bits.get(worker, 0)
        held = {key for head, row in self._rows.items() if self._masks[head] & bit for key in array("Q", row)}
        return sum(1 for key in held if not (self._removed.get(key, 0) | self._settling.get(key, 0)) & bit)

    def _find_holders(self, hashes: Sequence[int], blocks: bytes) -> list[int]:
        """Who holds each of these blocks, which lie between two anchors."""
        holders = [0] * len(hashes)
        for place in compress(count(), map(self._rows.get, hashes)):
            row, mask = self._rows[hashes[place]], self._masks[hashes[place]]
            whole = blocks.startswith(row, 8 * place)
            for held in range(place, place + (len(row) // 8 if whole else count_common(row, blocks[8 * place :]))):
                holders[held] |= mask
        for marks in (self._removed, self._settling):
            gone = list(map(marks.get, hashes, repeat(0))) if marks else ()
            if any(gone):
                holders = [mask & ~lost for mask, lost in zip(holders, gone, strict=True)]
        return holders

    def _remove_row(self, bit: int, hashes: Sequence[int], blocks: bytes, first: int) -> None:
        """A worker has none of these blocks from the `first` on any more; they lie between two anchors."""
        heads: Sequence[int] = [*compress(count(), map(self._rows.get, hashes))]
        # What is placed again may begin at any of them.
        for place in heads if len(heads) < 2 else range(heads[0], len(hashes)):
            row, mask = self._rows.get(hashes[place], b""), self._masks.get(hashes[place], 0)
            begin, same = max(first - place, 0), count_common(row, blocks[8 * place :]) if mask & bit else 0
            if begin >= same:
                continue
            if not begin and 8 * same == len(row):
                self._set_mask(hashes[place], mask ^ bit)
                continue
            self._set_mask(hashes[place], 0)
            self._place_row(row[: 8 * begin], mask)
            self._place_row(row[8 * begin : 8 * same], mask ^ bit)
            self._place_row(row[8 * same :], mask)

    def _set_mask(self, head: int, mask: int) -> None:
        if mask:
            self._masks[head] = mask
        else:
            del self._masks[head]
            self._size -= len(self._rows.pop(head)) // 8

    def _mark_removed(self, bit: int, hashes: Sequence[int]) -> None:
        marks = self._removed
        known = list(map(marks.setdefault, hashes, repeat(bit)))
        if known.count(bit) != len(known):
            marks.update(zip(hashes, [mask | bit for mask in known], strict=True))

    def _find_lost(self, hashes: Sequence[int]) -> int:
        """Who is known to hold not all of these blocks."""
        lost = 0
        for marks in (self._removed, self._settling):
            if marks:
                for mask in set(map(marks.get, hashes, repeat(0))):
                    lost |= mask
        return lost

    def _set_scores(self, scores: dict[int, int], mask: int, depth: int) -> None:
        while mask and depth:
            bit = mask & -mask
            owner = self._owners[bit.bit_length() - 1]
            if owner is not None:
                scores[owner] = depth
            mask ^= bit

    def _place_row(self, blocks: bytes, mask: int) -> None:
        """These workers hold these blocks; none of them but the first is an anchor."""
        while blocks and mask:
            head = int.from_bytes(blocks[:8], sys.byteorder)
            if self._unswept:
                self._unswept.append(head)  # a part of what is not swept yet may be placed here
            row = self._rows.get(head)
            if row is None:
                self._rows[head], self._masks[head] = blocks, mask
                self._size += len(blocks) // 8
                return
            same, before = 8 * count_common(row, blocks), self._masks[head]
            if before | mask != before:
                self._rows[head], self._masks[head] = row[:same], before | mask
                self._size -= len(row[same:]) // 8
                self._place_row(row[same:], before)
            blocks = blocks[same:]

    def _assign_bit(self, worker: int) -> int:
        if self._spare:
            bit = self._spare.pop()
        else:
            bit = 1 << len(self._owners)
            self._owners.append(None)
        self._owners[bit.bit_length() - 1] = worker
        self._bits[worker] = bit
        self._alive |= bit
        return bit

    def _sweep_rows(self, pace: int) -> None:
        """Settle some blocks, if there is anything to settle; the more, the more are stored and removed."""
        for _ in range(min(pace, len(self._settled))):
            self._settled.popitem()
        if not self._unswept:
            if not self._dead and len(self._removed) <= SWEEP_BLOCKS + self._size // 2:
                return
            self._sweeping, self._settling, self._removed = self._dead, self._removed, {}
            self._unswept = list(self._rows)
        left = max(STEP_BLOCKS, 3 * pace)
        while self._unswept and left > 0:
            left -= self._settle_row(self._unswept.pop())
        if not self._unswept:
            gone, self._sweeping = self._sweeping, 0
            self._dead ^= gone
            self._settled, self._settling = self._settling, {}
            while gone:
                bit = gone & -gone
                self._spare.append(bit)
                gone ^= bit

    def _settle_row(self, head: int) -> int:
        row = self._rows.get(head)
        if row is None:
            return 1
        mask, marks = self._masks[head] & ~self._sweeping, self._settling
        hashes = array("Q", row) if marks else ()
        if not mask or not marks or marks.keys().isdisjoint(hashes):
            self._set_mask(head, mask)
        else:
            self._set_mask(head, 0)
            place = 0
            for left, run in groupby(mask & ~marks.get(key, 0) for key in hashes):
                end = place + sum(1 for _ in run)
                if left:
                    self._place_row(row[8 * place : 8 * end], left)
                place = end
        return len(row) // 8


def _clear_marks(marks: dict[int, int], bit: int, hashes: Iterable[int]) -> None:
    for key in hashes:
        mask = marks.get(key, 0)
        if mask == bit:
            del marks[key]
        elif mask & bit:
            marks[key] = mask ^ bit
