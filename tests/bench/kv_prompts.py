"""What is asked of real engines when routers are compared: how long prompts are, what they share, when they come."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

SLOTS, WORKERS = 8, 2
TENANTS, PREFIX, OWN = 14, 192, 16
LENGTHS = (64, 208)
"""Of prompts that share nothing."""
REQUESTS = int(os.environ.get("BENCH_REAL_REQUESTS", "60"))
TALKING = float(os.environ.get("BENCH_REAL_TALKING", "240"))
"""Seconds of a run of talks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of requests. `output` are the tokens of an answer, `room` those of a slot, `held` those that a slot holds in
    the mean, for the simulated engine, which knows blocks and no slots. `at_once` users keep the workers busy when
    saturation is measured: of those who come at even times few, since many at once would find in slots what they just said.
    """

    title: str
    told: str
    output: int
    room: int
    held: int
    at_once: int = WORKERS * SLOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Talks(Shape):
    """Talks by their lengths in tokens: the beginning of all, what one is about (`median` is its part of the mean; the
    lengths are log-normal, five times the mean at most), what each turn asks. `users` talk, each begins another talk
    after one; their turns come at Poisson times or at even ones.
    """

    system: int
    about: int
    median: float
    asked: tuple[int, int]
    turns: tuple[int, int]
    users: int
    even: bool


SHAPES = {
    "tenants": Shape(
        title="shared prefixes",
        told=f"{TENANTS} tenants with {PREFIX} tokens of prompt each and {OWN} of the request's own, which is the shape of "
        "llm-d's published workload (a long prompt for each of many tenants, of which a worker cannot keep all, and a short "
        "question) at the size of this engine; made here",
        output=4,
        room=224,
        held=224,
    ),
    "talks": Talks(
        title="talks",
        told="The talks of the benchmark of KV caches in NVIDIA's AIPerf (user-centric timing) and of vLLM's production stack "
        "(multi-round QA): 15 users at even times, 20 turns each, 1,000 tokens of system prompt for all, 20,000 of the user's "
        "own, 26 a question, 100 an answer; its lengths divided by forty (a question has one token), its rate this engine's. "
        "When a run begins users are in the midst of their talks, evenly; made here",
        system=25,
        about=500,
        median=1.0,
        asked=(1, 1),
        turns=(20, 20),
        output=3,
        users=15,
        at_once=4,
        even=True,
        room=640,
        held=608,
    ),
    "short-talks": Talks(
        title="short talks",
        told="The talks of vLLM's benchmark of many turns: 6 to 9 turns, a system prompt of 500 tokens for all, then what the "
        "talk is about, 1,000 tokens in the mean (log-normal), 120 to 160 a question, 100 an answer; its lengths divided by "
        "eight. 12 users, who begin another talk after each; when a run begins they are in the midst of one; made here",
        system=62,
        about=125,
        median=0.85,
        asked=(15, 20),
        turns=(6, 9),
        output=12,
        users=12,
        at_once=12,
        even=False,
        room=960,
        held=320,
    ),
    "unshared": Shape(
        title="nothing shared",
        told=f"Prompts of {LENGTHS[0]} to {LENGTHS[1]} tokens, none like another",
        output=4,
        room=224,
        held=224,
    ),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says, and the second of the run before which they do not say it."""

    tokens: tuple[int, ...]
    when: float = 0.0


class Prompts:
    """Prompts of a run: tenants with a beginning each and an end of one's own, talks, or nothing shared. The seed decides
    who asks when, the name what the words are: runs of one seed differ in nothing else.
    """

    def __init__(self, seed: int, name: str, kind: str) -> None:
        self._chance = random.Random(seed)
        self._words = random.Random(f"{name}/{seed}")
        self._shape = SHAPES[kind]
        self.output = self._shape.output
        self.prefixes = [self.words(PREFIX) for _ in range(TENANTS if kind == "tenants" else 0)]
        self._system = self.words(self._shape.system) if isinstance(self._shape, Talks) else ()

    def words(self, count: int) -> tuple[int, ...]:
        """So many tokens that nobody said."""
        return tuple(self._words.randrange(100, 40_000) for _ in range(count))

    def users(self) -> list[Iterator[list[Turn]]]:
        """What each of those who are there at once says for ever, talk by talk."""
        if not isinstance(self._shape, Talks):
            return [iter(self._single, None) for _ in range(WORKERS * SLOTS)]
        ages = [number / self._shape.users for number in range(self._shape.users)]
        self._chance.shuffle(ages)
        return [itertools.chain([self._under_way(age)], iter(self._talk, None)) for age in ages]

    def arrivals(self, rate: float) -> tuple[list[list[Turn]], float]:
        """What is asked, in talks, so that there are `rate` turns a second, and from when on requests are counted: when
        a third of them or of the time is over.
        """
        if not isinstance(self._shape, Talks):
            times = list(itertools.accumulate(self._chance.expovariate(rate) for _ in range(REQUESTS)))
            return [[replace(turn, when=when) for turn in self._single()] for when in times], times[REQUESTS // 3 - 1]
        found: list[list[Turn]] = []
        for number, talks in enumerate(self.users()):
            times = self._times(rate, number)
            when = next(times)
            while when < TALKING:
                talk = []
                for turn in next(talks):
                    talk += [replace(turn, when=when)] if when < TALKING else []
                    when = next(times)
                found.append(talk)
        return sorted(found, key=lambda talk: talk[0].when), TALKING / 3

    def _times(self, rate: float, number: int) -> Iterator[float]:
        """When one of the users says something."""
        gap = self._shape.users / rate
        if self._shape.even:
            return itertools.count(number / rate, gap)
        return itertools.accumulate(iter(lambda: self._chance.expovariate(1 / gap), None))

    def _single(self) -> list[Turn]:
        if self.prefixes:
            return [Turn(self._chance.choice(self.prefixes) + self.words(OWN))]
        return [Turn(self.words(self._chance.randint(*LENGTHS)))]

    def _talk(self) -> list[Turn]:
        shape = self._shape
        spread = math.sqrt(-2 * math.log(shape.median))
        about = round(shape.about * shape.median * math.exp(self._chance.gauss(0, spread)))
        first = Turn(self._system + self.words(min(about, 5 * shape.about)) + self._question())
        return [first, *(Turn(self._question()) for _ in range(self._chance.randint(*shape.turns) - 1))]

    def _question(self) -> tuple[int, ...]:
        return self.words(self._chance.randint(*self._shape.asked))

    def _under_way(self, age: float) -> list[Turn]:
        """What a user says who came before, from a turn on; a long talk is likelier than a short one."""
        talks = [self._talk() for _ in range(2)]
        (turns,) = self._chance.choices(talks, [len(talk) for talk in talks])
        place = int(age * len(turns))
        said = tuple(itertools.chain.from_iterable(turn.tokens for turn in turns[: place + 1]))
        return [Turn(said + self.words(place * self.output)), *turns[place + 1 :]]
