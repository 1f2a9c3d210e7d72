"""What one engine holds, by its own names of blocks and by ours: the side of the worker."""

from __future__ import annotations

from dynamo.llm.kv.engine_events import AllCleared, BlocksRemoved, BlocksStored, EngineEvent, EngineHash
from dynamo.llm.kv.events import Cleared, KvEvent, Removed, Stored
from dynamo.llm.kv.hashing import block_hashes, root_of


class UnknownParent(LookupError):
    """A stored event follows a block that nobody has heard of: events were lost."""


class EngineBlocks:
    """Engine hash to chained hash of one engine. The engine's own names need not be ours, nor stable, nor shared."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._chained: dict[EngineHash, int] = {}

    def __len__(self) -> int:
        return len(self._chained)

    def held(self) -> list[int]:
        """The chained hashes of all blocks."""
        return list(self._chained.values())

    def apply(self, event: EngineEvent) -> KvEvent:
        """Take note of an engine's event; the same for routers.

        Raises UnknownParent after lost events, ValueError for blocks of another size than the router's.
        """
        if isinstance(event, BlocksStored):
            return self._stored(event)
        if isinstance(event, BlocksRemoved):
            gone = [self._chained.pop(key, None) for key in event.hashes]
            return Removed([chained for chained in gone if chained is not None])
        assert isinstance(event, AllCleared)
        self._chained.clear()
        return Cleared()

    def _stored(self, event: BlocksStored) -> Stored:
        if event.block_size != self.block_size:
            raise ValueError(f"the engine has blocks of {event.block_size} tokens, the router of {self.block_size}")
        if event.parent is None:
            parent = root_of(event.adapter)
        elif event.parent in self._chained:
            parent = self._chained[event.parent]
        else:
            raise UnknownParent(f"{len(event.hashes)} blocks follow one that was never stored")
        chained = block_hashes(event.tokens, event.block_size, parent=parent, extra=event.extra)
        self._chained.update(zip(event.hashes, chained, strict=True))
        return Stored(chained)
