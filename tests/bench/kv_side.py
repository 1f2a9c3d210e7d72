"""One index of KV blocks under measurement, in a process of its own: `kv_side.py ours|radix|dict BLOCKS WORKERS`.

Prints JSON, all of it in CPU time of the process: millions of blocks a second stored, stored again by another worker, and removed; microseconds to match a
prompt of 256 blocks that is held and one that is not; bytes for each block. Then "churn": the ends of an eighth of the
prompts are evicted, 32 blocks at a time, while as many other blocks are stored: millions of either a second, and
microseconds to match afterwards. Prompts are asked for in random order, by numbers that were not stored. The standard library and the index only,
so that the peer's interpreter can run it.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
from array import array
from typing import Any

PROMPT, EVICTED = 256, 32


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Ours:
    """`dynamo.llm.kv.index.KvIndexer`, given messages as they come from workers."""

    def __init__(self) -> None:
        from dynamo.llm.kv import events
        from dynamo.llm.kv.index import KvIndexer

        self.events = events
        self.index = KvIndexer()

    def stored(self, number: int, worker: int, hashes: list[int]) -> bytes:
        event = self.events.Stored(hashes)
        return self.events.encode_message(self.events.KvMessage(worker, 1, number, [event]))

    def apply(self, message: bytes) -> None:
        told = self.events.decode_message(message)
        for event in told.events:
            if isinstance(event, self.events.Stored):
                self.index.stored(told.worker, event.hashes)
            else:
                self.index.removed(told.worker, event.hashes, event.after)

    def before(self, prompt: list[int], start: int) -> list[int]:
        """What a worker says with a removal."""
        from dynamo.llm.kv.block_rows import is_anchor

        first = start
        while first and not (first < start and is_anchor(prompt[first])):
            first -= 1
        return prompt[first:start]

    def match(self, hashes: list[int]) -> int:
        return max(self.index.match(hashes).values(), default=0)

    def removed(self, number: int, worker: int, prompt: list[int], start: int, end: int) -> Any:
        event = self.events.Removed(prompt[start:end], self.before(prompt, start))
        return self.events.encode_message(self.events.KvMessage(worker, 1, number, [event]))


class Bare(Ours):
    """The same without messages: hashes go straight into the index."""

    def stored(self, number: int, worker: int, hashes: list[int]) -> Any:
        return self.index.stored, (worker, hashes)

    def removed(self, number: int, worker: int, prompt: list[int], start: int, end: int) -> Any:
        return self.index.removed, (worker, prompt[start:end], self.before(prompt, start))

    def apply(self, message: Any) -> None:
        change, what = message
        change(*what)


class Floor:
    """A bare dict that is filled: what Python can do at most."""

    def __init__(self) -> None:
        self.table: dict[int, int] = {}

    def stored(self, number: int, worker: int, hashes: list[int]) -> Any:
        return worker, hashes

    def removed(self, number: int, worker: int, prompt: list[int], start: int, end: int) -> Any:
        return 0, prompt[start:end]

    def apply(self, message: Any) -> None:
        worker, hashes = message
        if worker:
            self.table.update(dict.fromkeys(hashes, worker))
        else:
            for hashed in hashes:
                self.table.pop(hashed, None)

    def match(self, hashes: list[int]) -> int:
        found = [hashed in self.table for hashed in hashes]
        return len(found) if found[0] else 0


class Radix:
    """ai-dynamo's tree (Rust) through its Python bindings, given events as those take them, in JSON."""

    def __init__(self) -> None:
        from dynamo._core import RadixTree

        self.tree = RadixTree()

    def _event(self, number: int, data: object) -> bytes:
        return json.dumps({"event_id": number, "data": data}).encode()

    def stored(self, number: int, worker: int, hashes: list[int]) -> Any:
        blocks = [{"block_hash": hashed, "tokens_hash": hashed} for hashed in hashes]
        return worker, self._event(number, {"stored": {"parent_hash": None, "blocks": blocks}})

    def apply(self, message: Any) -> None:
        self.tree.apply_event(*message)

    def match(self, hashes: list[int]) -> int:
        return max(self.tree.find_matches(hashes).scores.values(), default=0)

    def removed(self, number: int, worker: int, prompt: list[int], start: int, end: int) -> Any:
        return worker, self._event(number, {"removed": {"block_hashes": prompt[start:end]}})


def main(kind: str, blocks: int, workers: int) -> dict[str, float]:
    """All figures of one index."""
    side: Any = {"ours": Ours, "bare": Bare, "radix": Radix, "dict": Floor}[kind]()
    chance = random.Random(blocks)
    count = blocks // PROMPT
    prompts = [[chance.getrandbits(63) for _ in range(PROMPT)] for _ in range(count)]
    absent = [[chance.getrandbits(63) for _ in range(PROMPT)] for _ in range(200)]
    seconds = {"store": 0.0, "again": 0.0}
    gc.collect()
    before = resident()
    # In batches, so that the messages themselves are not what is measured as memory.
    for turn, name in enumerate(seconds):
        for first in range(0, count, 200):
            batch = range(first, min(first + 200, count))
            messages = [side.stored(number, (number + turn) % workers + 1, prompts[number]) for number in batch]
            begun = time.process_time()
            for message in messages:
                side.apply(message)
            seconds[name] += time.process_time() - begun
            del messages
        if not turn:
            gc.collect()
            memory = resident() - before
    asked = [list(array("Q", hashes)) for hashes in chance.sample(prompts, min(1000, count))]
    begun = time.process_time()
    found = sum(side.match(hashes) for hashes in asked)
    match = (time.process_time() - begun) / len(asked)
    assert found == PROMPT * len(asked), found
    begun = time.process_time()
    assert not sum(side.match(hashes) for hashes in absent)
    miss = (time.process_time() - begun) / len(absent)
    removals = [side.removed(number, (number + 1) % workers + 1, prompts[number], 0, PROMPT) for number in range(count)]
    begun = time.process_time()
    for message in removals:
        side.apply(message)
    remove = time.process_time() - begun
    del removals
    churned = count // 8
    changes = []
    for number in range(churned):
        fresh = [chance.getrandbits(63) for _ in range(PROMPT)]
        changes.append(side.stored(number, number % workers + 1, fresh))
        for part in range(PROMPT // EVICTED // 2):
            old = prompts[2 * number + part % 2]
            end = PROMPT - EVICTED * (part // 2)
            changes.append(side.removed(number, (2 * number + part % 2) % workers + 1, old, end - EVICTED, end))
    begun = time.process_time()
    for message in changes:
        side.apply(message)
    churn = time.process_time() - begun
    asked = [list(array("Q", hashes)) for hashes in chance.sample(prompts, min(1000, count))]
    begun = time.process_time()
    for hashes in asked:
        side.match(hashes)
    later = (time.process_time() - begun) / len(asked)
    total = count * PROMPT
    return {
        "store": total / seconds["store"] / 1e6,
        "again": total / seconds["again"] / 1e6,
        "match": match * 1e6,
        "miss": miss * 1e6,
        "remove": total / remove / 1e6,
        "churn": churned * PROMPT * 1.5 / churn / 1e6,
        "later": later * 1e6,
        "bytes": memory / total,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
