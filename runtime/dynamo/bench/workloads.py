"""Workloads: prompts of random words, the same for the same seed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("shared", "talks", "unshared")
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")


@dataclass(slots=True)
class Talk:
    """A conversation: what its user says turn after turn. The answers come from the endpoint, between the turns."""

    system: str
    turns: list[str]
    max_tokens: int
    at: float = 0.0
    said: list[dict[str, str]] = field(default_factory=list)

    def build_messages(self, turn: int) -> list[dict[str, str]]:
        """What is sent in a turn."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.said, {"role": "user", "content": self.turns[turn]}]

    def add_answer(self, turn: int, text: str) -> None:
        """The answer to a turn."""
        self.said += [{"role": "user", "content": self.turns[turn]}, {"role": "assistant", "content": text}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a workload, in words, which most tokenizers make one to three tokens of each."""

    kind: str = "shared"
    prefixes: int = 10
    prefix_words: int = 500
    words: int = 60
    turns: int = 4
    max_tokens: int = 64
    seed: int = 1


def make_words(chance: random.Random, count: int) -> str:
    """That many words that nobody said before."""
    return " ".join("".join(chance.choices(_SYLLABLES, k=chance.randint(1, 3))) for _ in range(count))


def make_talks(shape: Shape) -> Iterator[Talk]:
    """Conversations without end. `shared`: one of some prefixes before each question; `talks`: several turns;
    `unshared`: nothing in common. Raises ValueError for another kind.
    """
    if shape.kind not in KINDS:
        raise ValueError(f"`{shape.kind}` is not a workload; there are {', '.join(KINDS)}")
    chance = random.Random(shape.seed)
    prefixes = [make_words(chance, shape.prefix_words) for _ in range(max(shape.prefixes, 1))]
    weights = list(itertools.accumulate(1 / (rank + 1) ** 0.6 for rank in range(len(prefixes))))
    while True:
        count = max(1, int(chance.uniform(0.5, 1.5) * shape.words))
        if shape.kind == "shared":
            (prefix,) = chance.choices(prefixes, cum_weights=weights)
            yield Talk(prefix, [make_words(chance, count)], shape.max_tokens)
        elif shape.kind == "talks":
            turns = [make_words(chance, count) for _ in range(max(1, shape.turns))]
            yield Talk(prefixes[0], turns, shape.max_tokens)
        else:
            yield Talk("", [make_words(chance, count + shape.prefix_words)], shape.max_tokens)


def read_trace(path: Path, block_words: int = 200, limit: int = 0) -> Iterator[Talk]:
    """A trace in the form of Mooncake's: JSON lines with `timestamp` (ms), `hash_ids` and `output_length`.

    Equal ids become equal words, so prefixes are shared as they were. Raises ValueError for a line that is none.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if limit and number > limit:
                return
            try:
                entry: dict[str, Any] = json.loads(line)
                ids, output = [int(key) for key in entry["hash_ids"]], int(entry["output_length"])
                at = float(entry["timestamp"]) / 1000
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path.name}:{number} is not a line of a trace: {error!r}") from error
            text = " ".join(make_words(random.Random(key), block_words) for key in ids)
            yield Talk("", [text or "go"], max(output, 1), at)
