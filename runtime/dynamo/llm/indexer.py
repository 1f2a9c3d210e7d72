"""Which worker holds which KV blocks: a flat table from chained hash to a bit mask of workers.

The table answers what a prefix tree would, since a chained hash names a block with all before it, at a sixteenth of
the cost of filling a tree (measured in docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

SWEEP_BLOCKS = 4096
"""How many blocks one call cleans at most after a worker left: no call is held up by a large table."""
STRETCH_BLOCKS = 32


class KvIndexer:
    """The blocks of all workers. Not thread-safe; every method returns within microseconds for each block it is given.

    A worker that leaves or clears its blocks loses its bit at once; the bit is taken out of the table bit by bit by
    later calls, and given away again when none is left.
    """

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._bits: dict[int, int] = {}
        self._owners: list[int | None] = []
        self._spare: list[int] = []
        self._alive = 0
        self._dead = 0
        self._sweeping = 0
        self._unswept: list[int] = []

    def __len__(self) -> int:
        """How many different blocks are in the table, those not swept yet included."""
        return len(self._masks)

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that stored anything, in the order in which they came."""
        return tuple(self._bits)

    def stored(self, worker: int, hashes: Sequence[int]) -> None:
        """A worker holds these blocks too."""
        bit = self._bits.get(worker) or self._admit(worker)
        if self._dead:
            self._sweep(len(hashes))
        masks = self._masks
        # One look-up for blocks that nobody had, and one number for all that one worker holds.
        known = list(map(masks.setdefault, hashes, repeat(bit)))
        if known.count(bit) != len(known):
            masks.update(zip(hashes, [mask | bit for mask in known], strict=True))

    def removed(self, worker: int, hashes: Iterable[int]) -> None:
        """A worker holds these blocks no more; those it never had are no matter."""
        bit = self._bits.get(worker)
        if not bit:
            return
        masks = self._masks
        for key in hashes:
            mask = masks.get(key, 0)
            if mask == bit:
                del masks[key]
            elif mask & bit:
                masks[key] = mask ^ bit

    def cleared(self, worker: int) -> None:
        """A worker holds nothing any more, or is gone. Takes the same short time however much it held."""
        bit = self._bits.pop(worker, 0)
        if bit:
            self._owners[bit.bit_length() - 1] = None
            self._alive ^= bit
            self._dead |= bit
            self._sweep(0)

    gone = cleared

    def match(self, hashes: Sequence[int]) -> dict[int, int]:
        """How many blocks from the start of a prompt each worker holds; workers with none are left out."""
        scores: dict[int, int] = {}
        get, active, depth, owners = self._masks.get, self._alive, 0, self._owners
        if not hashes or not get(hashes[0], 0) & active:
            return scores
        for start in range(0, len(hashes), STRETCH_BLOCKS):
            masks = list(map(get, hashes[start : start + STRETCH_BLOCKS], repeat(0)))
            # Where the same workers hold all of a stretch, one look is enough.
            steps = masks[:1] if masks.count(masks[0]) == len(masks) else masks
            for mask in steps:
                now = mask & active
                if now != active:
                    if depth:
                        _score(scores, active ^ now, depth, owners)
                    if not now:
                        return scores
                    active = now
                depth += 1
            depth += len(masks) - len(steps)
        if depth:
            _score(scores, active, depth, owners)
        return scores

    def blocks_of(self, worker: int) -> int:
        """How many blocks a worker holds; looks through the whole table."""
        bit = self._bits.get(worker, 0)
        return sum(1 for mask in self._masks.values() if mask & bit)

    def _admit(self, worker: int) -> int:
        if self._spare:
            bit = self._spare.pop()
        else:
            bit = 1 << len(self._owners)
            self._owners.append(None)
        self._owners[bit.bit_length() - 1] = worker
        self._bits[worker] = bit
        self._alive |= bit
        return bit

    def _sweep(self, pace: int) -> None:
        """Clean some blocks of the bits of those who left; the more, the more are stored."""
        if not self._sweeping:
            self._sweeping = self._dead
            self._unswept = list(self._masks)
        masks, gone = self._masks, self._sweeping
        count = min(len(self._unswept), max(SWEEP_BLOCKS, 2 * pace))
        for key in self._unswept[len(self._unswept) - count :]:
            mask = masks.get(key, 0)
            if mask & gone:
                left = mask & ~gone
                if left:
                    masks[key] = left
                else:
                    del masks[key]
        del self._unswept[len(self._unswept) - count :]
        if not self._unswept:
            self._dead ^= gone
            self._sweeping = 0
            while gone:
                bit = gone & -gone
                self._spare.append(bit)
                gone ^= bit


def _score(scores: dict[int, int], mask: int, depth: int, owners: Sequence[int | None]) -> None:
    while mask:
        bit = mask & -mask
        owner = owners[bit.bit_length() - 1]
        if owner is not None:
            scores[owner] = depth
        mask ^= bit
