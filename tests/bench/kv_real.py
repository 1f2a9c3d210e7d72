"""Routing with a real engine: two workers with llama.cpp and SmolLM2-135M on this machine's cores. Prints one table.

Part of `bench_kv`; stands alone to be run where an engine is: `kv_real.py tenants|talks|unshared`. Every run has prompts that
no run before it had, the ways to route take turns, and as in the simulated tables each tenant's beginning is on one
worker when a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from dynamo.engines.batching import SimulationSettings  # noqa: E402
from dynamo.llm.generation import EngineRequest  # noqa: E402
from dynamo.llm.hashing import block_hashes  # noqa: E402
from dynamo.llm.routed import RoutedClient  # noqa: E402
from dynamo.llm.router import Mode, RouterSettings  # noqa: E402
from dynamo.llm.service import routing  # noqa: E402
from dynamo.runtime.distributed import DistributedRuntime, connect  # noqa: E402
from support.nats import nats_server  # noqa: E402
from support.routing_simulation import Arrival, Simulation, Workload  # noqa: E402

BLOCK = 16
MODES: tuple[Mode, ...] = ("kv", "round-robin", "approximate", "random")
WORKERS, SLOTS = 2, 8
CONTEXT = {"tenants": 224, "talks": 576, "unshared": 224}
HELD = {"tenants": 224, "talks": 320, "unshared": 224}
"""Tokens that a slot holds in the mean, for the simulated engine, which knows blocks and no slots."""
TENANTS, PREFIX, OWN, OUTPUT = 14, 192, 16, 4
LENGTHS = (64, 208)
"""Of prompts that share nothing."""
SYSTEM, FIRST, MORE, TURNS, PAUSE = 64, (32, 64), (16, 48), (5, 9), 9.0
"""Talks: the beginning of all, what the first turn and each later one add, how many turns, seconds between two (mean)."""
REQUESTS = int(os.environ.get("BENCH_REAL_REQUESTS", "60"))
TALKS = int(os.environ.get("BENCH_REAL_TALKS", "28"))
ROUNDS = int(os.environ.get("BENCH_REAL_ROUNDS", "2"))
SECONDS = float(os.environ.get("BENCH_REAL_SECONDS", "900"))
"""No run of a router begins later than this."""
SATURATING = 48
SHARE = 0.75
TITLES = {"tenants": "shared prefixes", "talks": "talks", "unshared": "nothing shared"}
ASKED = {
    "tenants": f"{TENANTS} tenants with {PREFIX} tokens of prompt each and {OWN} of the request's own, which is the shape of "
    "llm-d's published workload (a long prompt for each of many tenants, of which a worker cannot keep all, and a short "
    "question) at the size of this engine; made here",
    "talks": f"Talks of {TURNS[0]} to {TURNS[1]} turns with a system prompt of {SYSTEM} tokens for all; the first turn adds "
    f"{FIRST[0]} to {FIRST[1]} tokens, each later one {MORE[0]} to {MORE[1]} to what was said and answered before, {PAUSE:g} s "
    "after the answer in the mean",
    "unshared": f"Prompts of {LENGTHS[0]} to {LENGTHS[1]} tokens, none like another",
}


@dataclass(slots=True)
class Seen:
    """What was seen of the requests after the first third."""

    first: list[float] = field(default_factory=list)
    prompt: int = 0
    cached: int = 0
    failed: int = 0
    seeds: list[int] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.first)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says, and how many seconds after the answer to what was said before."""

    tokens: tuple[int, ...]
    pause: float = 0.0


class Prompts:
    """Prompts of a run: tenants with a beginning each and an end of one's own, talks, or nothing shared. The seed decides
    who asks when, the name what the words are: runs of one seed differ in nothing else.
    """

    def __init__(self, seed: int, name: str, kind: str) -> None:
        self._chance = random.Random(seed)
        self._words = random.Random(f"{name}/{seed}")
        self._kind = kind
        self.prefixes = [self.words(PREFIX) for _ in range(TENANTS if kind == "tenants" else 0)]
        self._system = self.words(SYSTEM)

    def words(self, count: int) -> tuple[int, ...]:
        return tuple(self._words.randrange(100, 40_000) for _ in range(count))

    def next(self) -> list[Turn]:
        """What one user says, turn by turn."""
        if self._kind == "tenants":
            return [Turn(self._chance.choice(self.prefixes) + self.words(OWN))]
        if self._kind == "unshared":
            return [Turn(self.words(self._chance.randint(*LENGTHS)))]
        first = Turn(self._system + self.words(self._chance.randint(*FIRST)))
        return [first, *(self._later() for _ in range(self._chance.randint(*TURNS) - 1))]

    def _later(self) -> Turn:
        return Turn(self.words(self._chance.randint(*MORE)), self._chance.expovariate(1 / PAUSE))

    def arrivals(self, rate: float) -> list[tuple[float, list[Turn]]]:
        """Users, and when each of them comes, so that there are `rate` turns a second."""
        users, turns = (TALKS, statistics.mean(TURNS)) if self._kind == "talks" else (REQUESTS, 1)
        now, found = 0.0, []
        for _ in range(users):
            now += self._chance.expovariate(rate / turns)
            found.append((now, self.next()))
        return found


@contextlib.asynccontextmanager
async def workers(kind: str) -> AsyncIterator[DistributedRuntime]:
    """The graph: a NATS server, two processes, and this one as the router's."""
    with nats_server() as server, contextlib.ExitStack() as closing:
        for number in range(1, WORKERS + 1):
            program = [
                sys.executable,
                "-m",
                "support.engine_worker",
                server.url,
                str(number),
                *map(str, (SLOTS, CONTEXT[kind])),
            ]
            process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=TESTS)
            closing.callback(process.wait)
            closing.callback(process.kill)
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise SystemExit("the embedded engine does not start here")
        async with await connect({"NATS_SERVER": server.url}) as runtime:
            yield runtime


@contextlib.asynccontextmanager
async def routed(
    runtime: DistributedRuntime, mode: Mode, held: Sequence[tuple[int, ...]] = ()
) -> AsyncIterator[RoutedClient]:
    """A router of that kind, when each of these beginnings is on one worker and the router knows."""
    service = await routing(runtime, "ns", "Worker", "generate", RouterSettings(block_size=BLOCK, mode=mode))
    client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
    if not await service.ready(WORKERS, 30):
        raise SystemExit("the workers do not answer")
    workers = sorted(client.instance_ids())
    try:
        for tenant, tokens in enumerate(held):
            worker = workers[tenant % len(workers)]
            async for _ in client.direct(EngineRequest(id=f"held{tenant}", tokens=tokens, max_tokens=1), worker):
                pass
            service.router.approximate.routed(worker, block_hashes(tokens, BLOCK), time.monotonic())
        await asyncio.sleep(0.5)
        yield RoutedClient(service, client)
    finally:
        await service.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds to the first token and to the last, how many of the prompt's tokens were cached, and the tokens."""

    first: float
    total: float
    cached: int
    tokens: tuple[int, ...]


async def ask(client: RoutedClient, name: str, tokens: tuple[int, ...], output: int = OUTPUT) -> Answer:
    """Ask once."""
    begun = time.perf_counter()
    first, cached, said = 0.0, 0, []
    async for step in client.generate(EngineRequest(id=name, tokens=tokens, max_tokens=output)):
        first = first or time.perf_counter() - begun
        cached = max(cached, step.cached_tokens)
        said += step.tokens
    return Answer(first, time.perf_counter() - begun, cached, tuple(said))


async def alone(runtime: DistributedRuntime) -> tuple[float, float]:
    """Seconds for each prompt token, and for a token after that, of engines that have one request each: the first from
    the time that three quarters of a known prompt save.
    """
    prefill, decode = [], []
    async with routed(runtime, "round-robin") as client:
        for turn in range(4):
            # One request on each worker at the same time: they share the machine.
            names = [f"alone{turn}.{number}" for number in range(WORKERS)]
            prompts = [Prompts(turn, name, "unshared").words(PREFIX + OWN) for name in names]
            whole = await asyncio.gather(*map(ask, [client] * WORKERS, names, prompts, [9] * WORKERS))
            parts = [
                known[: len(known) * 3 // 4] + Prompts(turn, f"{name}/2", "unshared").words(len(known) // 4)
                for name, known in zip(names, prompts, strict=True)
            ]
            again = await asyncio.gather(*map(ask, [client] * WORKERS, [f"{name}/2" for name in names], parts))
            for known, new in zip(whole, again, strict=True):
                decode.append((known.total - known.first) / 8)
                if new.cached:
                    prefill.append((known.first - new.first) / new.cached)
    return statistics.median(prefill), statistics.median(decode)


async def saturation(runtime: DistributedRuntime, kind: str) -> float:
    """Requests a second that round-robin completes when as many wait as there are slots."""
    prompts, done = Prompts(0, "full", kind), 0

    async def serve(client: RoutedClient, name: int) -> None:
        nonlocal done
        while done < SATURATING:
            said: tuple[int, ...] = ()
            for turn in prompts.next():
                done += 1
                said += turn.tokens
                said += (await ask(client, f"full{name}.{done}", said)).tokens

    async with routed(runtime, "round-robin", prompts.prefixes) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(serve(client, number) for number in range(WORKERS * SLOTS)))
        return done / (time.perf_counter() - begun)


async def run(runtime: DistributedRuntime, mode: Mode, kind: str, rate: float, seed: int, seen: Seen) -> None:
    """One run of one way to route."""
    prompts = Prompts(seed, mode, kind)
    arrivals = prompts.arrivals(rate)
    third, end = counted(arrivals)

    async def one(client: RoutedClient, number: int, begun: float) -> None:
        when, turns = arrivals[number]
        await asyncio.sleep(max(0.0, begun + when - time.perf_counter()))
        said: tuple[int, ...] = ()
        for place, turn in enumerate(turns):
            await asyncio.sleep(turn.pause)
            now = time.perf_counter() - begun
            if place and now > end:
                return
            said += turn.tokens
            try:
                answer = await ask(client, f"{mode}{seed}.{number}.{place}", said)
            except Exception as error:
                print(f"{mode}: {error!r}", file=sys.stderr)
                seen.failed += 1
                return
            if now > third:
                seen.first.append(answer.first)
                seen.prompt += len(said)
                seen.cached += answer.cached
            said += answer.tokens

    print(f"{mode}, seed {seed}, {rate:.2f} requests/s", file=sys.stderr)
    async with routed(runtime, mode, prompts.prefixes) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(one(client, number, begun) for number in range(len(arrivals))))


def counted(arrivals: Sequence[tuple[float, list[Turn]]]) -> tuple[float, float]:
    """From when on requests are counted: when a third of the users has come; and from when on no talk goes on."""
    third = arrivals[len(arrivals) // 3 - 1][0]
    return third, 3 * third


def simulated(mode: Mode, kind: str, rate: float, seeds: list[int], prefill: float, decode: float) -> Seen:
    """The same arrivals on simulated engines that were given the real one's times."""
    engine = SimulationSettings(
        block_size=BLOCK,
        blocks=SLOTS * HELD[kind] // BLOCK,
        slots=SLOTS,
        pass_tokens=512,
        pass_seconds=decode,
        prefill_seconds=prefill,
        attention_seconds=0.0,
        decode_seconds=0.0,
    )
    seen = Seen()
    for seed in seeds:
        prompts = Prompts(seed, mode, kind)
        users = prompts.arrivals(rate)
        arrivals = [(when, asked(str(number), turns, prompts)) for number, (when, turns) in enumerate(users)]
        held = [block_hashes(tokens, BLOCK) for tokens in prompts.prefixes]
        workload = Workload(kind="real", rate=rate, seconds=counted(users)[1], workers=WORKERS)
        outcome = Simulation(mode, workload, engine, arrivals=arrivals, held=held).run()
        seen.first += outcome.first_tokens
        seen.prompt += outcome.prompt_tokens
        seen.cached += outcome.cached_tokens
    return seen


def asked(name: str, turns: Sequence[Turn], prompts: Prompts) -> Arrival:
    """The first request of a user, which leads to the next ones; the answers' words are chosen here."""
    said, requests = (), []
    for place, turn in enumerate(turns):
        said += turn.tokens
        requests.append(Arrival(f"{name}.{place}", said, block_hashes(said, BLOCK), OUTPUT))
        said += prompts.words(OUTPUT)
    for request, then, turn in zip(requests, requests[1:], turns[1:], strict=False):
        request.then, request.pause = then, turn.pause
    return requests[0]


async def measure(kind: str) -> dict[str, Any]:
    """The table."""
    seen, begun = {mode: Seen() for mode in MODES}, time.monotonic()
    async with workers(kind) as runtime:
        prefill, decode = await alone(runtime)
        print(f"{prefill * 1e3:.2f} ms a prompt token, {decode * 1e3:.1f} ms a pass", file=sys.stderr)
        full = await saturation(runtime, kind)
        rate = full * SHARE
        seeds = list(range(1, ROUNDS + 1))
        for seed, mode in itertools.product(seeds, MODES):
            if time.monotonic() - begun < SECONDS:
                await run(runtime, mode, kind, rate, seed, seen[mode])
                seen[mode].seeds.append(seed)
    rows = []
    for mode in [mode for mode in MODES if seen[mode].seeds]:
        real, seeds = seen[mode], seen[mode].seeds
        copy = simulated(mode, kind, rate, seeds, prefill, decode)
        errors = [copy.quantile(share) / real.quantile(share) - 1 for share in (0.5, 0.9)]
        rows.append(
            [
                mode,
                *(f"{real.quantile(share) * 1e3:.0f}" for share in (0.5, 0.9)),
                f"{real.cached / real.prompt:.0%}",
                str(real.failed),
                *(f"{copy.quantile(share) * 1e3:.0f}" for share in (0.5, 0.9)),
                f"{copy.cached / copy.prompt:.0%}",
                f"{errors[0]:+.0%} / {errors[1]:+.0%}",
            ]
        )
    kv, turns = seen["kv"], seen["round-robin"]
    half, most = (turns.quantile(share) / kv.quantile(share) for share in (0.5, 0.9))
    return {
        "title": f"Routing, a real engine: {TITLES[kind]}, on two workers with llama.cpp and SmolLM2-135M (Q4_1), one thread each",
        "columns": [
            "router",
            "TTFT p50, ms",
            "p90",
            "prefix hits",
            "rejected",
            "simulated: p50",
            "p90",
            "hits",
            "simulator's error p50 / p90",
        ],
        "rows": rows,
        "notes": [
            f"**Real.** {ASKED[kind]}, {OUTPUT} tokens "
            f"out, {SLOTS} slots of {CONTEXT[kind]} a worker. {rate:.2f} requests/s = {SHARE:.0%} of round-robin's saturation, Poisson, "
            f"{len(kv.seeds)} rounds of {f'{TALKS} talks' if kind == 'talks' else f'{REQUESTS} requests'} for each router in turns, "
            "seeds from 1, the same for each; the first third of each is not counted.",
            f"kv against round-robin: TTFT p50 {half:.1f} times lower, p90 {most:.1f} times.",
            f"The simulated engine was given this one's times: {prefill * 1e3:.2f} ms for each prompt token, {decode * 1e3:.1f} ms "
            "for each pass, measured with one request on each worker before the runs.",
        ],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1]))))
