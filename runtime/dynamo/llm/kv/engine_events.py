"""The KV events of vLLM as they come from its socket, old form and new, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

EngineHash: TypeAlias = int | bytes
"""The engine's own name of a block; it says nothing to anybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksStored:
    """Full blocks in a row; `tokens` are those of all of them, `extra` what else decides over each."""

    hashes: tuple[EngineHash, ...]
    parent: EngineHash | None
    tokens: tuple[int, ...]
    block_size: int
    adapter: str = ""
    extra: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksRemoved:
    """Blocks that left the device's memory."""

    hashes: tuple[EngineHash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCleared:
    """The engine forgot all blocks."""


EngineEvent: TypeAlias = BlocksStored | BlocksRemoved | AllCleared

# The fields of the tagged arrays of 2025, in order; those of the maps have the same names.
_FIELDS = {
    "BlockStored": ("block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium", "lora_name"),
    "BlockRemoved": ("block_hashes", "medium"),
    "AllBlocksCleared": (),
}


def decode_batch(payload: bytes) -> list[EngineEvent]:
    """The events of one message (`[time, [event, …], rank]`). Raises ValueError when it is not one.

    Events of unknown types are left out, and so are blocks in other memory than the device's and those of other
    cache groups than the first: neither says that a prompt can be continued here.
    """
    batch = msgspec.msgpack.decode(payload)
    if not isinstance(batch, list) or len(batch) < 2 or not isinstance(batch[1], list):
        raise ValueError("the message is not a batch of KV events")
    return [event for event in map(_decode_event, batch[1]) if event is not None]


def _decode_event(item: Any) -> EngineEvent | None:
    if isinstance(item, Mapping):
        name, fields = item.get("type"), item
    elif isinstance(item, list) and item:
        name = item[0]
        fields = dict(zip(_FIELDS.get(name, ()) if isinstance(name, str) else (), item[1:], strict=False))
    else:
        raise ValueError("a KV event is neither a map nor an array")
    if str(fields.get("medium") or "GPU").upper() != "GPU" or fields.get("group_idx"):
        return None
    maker = _MAKERS.get(name) if isinstance(name, str) else None
    return maker(fields) if maker else None


def _decode_stored(fields: Mapping[str, Any]) -> BlocksStored:
    hashes = _read_hashes(fields)
    tokens, size, parent = fields.get("token_ids"), fields.get("block_size"), fields.get("parent_block_hash")
    if not isinstance(size, int) or size < 1 or not isinstance(tokens, list):
        raise ValueError("a stored event has no tokens or no block size")
    if len(tokens) != size * len(hashes) or not all(type(token) is int for token in tokens):
        raise ValueError(f"a stored event has {len(tokens)} tokens for {len(hashes)} blocks of {size}")
    if parent is not None and not isinstance(parent, int | bytes):
        raise ValueError("the parent of a stored event is not a hash")
    adapter = fields.get("lora_name") or fields.get("lora_id")
    extra = fields.get("extra_keys")
    if extra is not None and (not isinstance(extra, Sequence) or len(extra) != len(hashes)):
        raise ValueError("a stored event has not one extra key for each block")
    return BlocksStored(
        hashes=hashes,
        parent=parent,
        tokens=tuple(tokens),
        block_size=size,
        adapter="" if adapter is None else str(adapter),
        extra=tuple(extra) if extra is not None else None,
    )


def _decode_removed(fields: Mapping[str, Any]) -> BlocksRemoved:
    return BlocksRemoved(hashes=_read_hashes(fields))


def _decode_cleared(fields: Mapping[str, Any]) -> AllCleared:
    return AllCleared()


def _read_hashes(fields: Mapping[str, Any]) -> tuple[EngineHash, ...]:
    hashes = fields.get("block_hashes")
    if not isinstance(hashes, list) or not all(isinstance(entry, int | bytes) for entry in hashes):
        raise ValueError("a KV event has no list of block hashes")
    return tuple(hashes)


_MAKERS: dict[str, Callable[[Mapping[str, Any]], EngineEvent]] = {
    "BlockStored": _decode_stored,
    "BlockRemoved": _decode_removed,
    "AllBlocksCleared": _decode_cleared,
}
