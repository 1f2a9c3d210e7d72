"""Small records that outlive the process that wrote them: what an operator told the graph, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from dynamo.coordination.discovery import Discovery


class Records(Protocol):
    """Records of one kind. Keys are NATS tokens joined by dots (`dynamo.messages.naming.encode_token`)."""

    async def create(self, key: str, value: bytes) -> bool:
        """Write a record; False when there is one of that key. Raises Unavailable."""

    async def delete(self, key: str) -> bool:
        """Take a record away; False when there is none. Raises Unavailable."""

    async def read_all(self) -> dict[str, bytes]:
        """All records by key. Raises Unavailable."""


class MemoryRecords:
    """Records inside one process."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}

    async def create(self, key: str, value: bytes) -> bool:
        if key in self._records:
            return False
        self._records[key] = value
        return True

    async def delete(self, key: str) -> bool:
        return self._records.pop(key, None) is not None

    async def read_all(self) -> dict[str, bytes]:
        return dict(self._records)


_in_memory: WeakKeyDictionary[Discovery, dict[str, MemoryRecords]] = WeakKeyDictionary()


def open_records(discovery: Discovery, name: str) -> Records:
    """The records of that name: in the graph's NATS server, or in memory where the graph has none."""
    connection = getattr(discovery, "connection", None)
    if connection is not None:
        from dynamo.coordination.nats.records import NatsRecords  # heavy; not for graphs in one process

        return NatsRecords(connection, name)
    return _in_memory.setdefault(discovery, {}).setdefault(name, MemoryRecords())
