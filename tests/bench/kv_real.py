"""Routing with a real engine: two workers with llama.cpp and SmolLM2-135M on this machine's cores. Prints one table.

Part of `bench_kv`; stands alone to be run where an engine is: `kv_real.py tenants|talks|short-talks|unshared`.
Every run has prompts that no run before it had, the ways to route take turns, and as in the simulated tables each
tenant's beginning is on one worker when a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from bench.kv_prompts import LENGTHS, REQUESTS, SHAPES, SLOTS, TALKING, WORKERS, Prompts, Talks, Turn  # noqa: E402
from dynamo.engines.batching import SimulationSettings  # noqa: E402
from dynamo.llm.generation import EngineRequest  # noqa: E402
from dynamo.llm.kv.hashing import block_hashes  # noqa: E402
from dynamo.llm.kv_routing.routed_client import RoutedClient  # noqa: E402
from dynamo.llm.kv_routing.router import Mode, RouterSettings  # noqa: E402
from dynamo.llm.kv_routing.routing_service import routing  # noqa: E402
from dynamo.rpc.runtime import DistributedRuntime, connect  # noqa: E402
from support.nats import nats_server  # noqa: E402
from support.routing_simulation import Arrival, Simulation, Workload  # noqa: E402

BLOCK = 16
COMPARED: tuple[Mode, ...] = ("kv", "round-robin")
MODES: tuple[Mode, ...] = (*COMPARED, "approximate", "random")
ROUNDS = int(os.environ.get("BENCH_REAL_ROUNDS", "2"))
"""Of the two that are compared; the others have one."""
SECONDS = float(os.environ.get("BENCH_REAL_SECONDS", "2400"))
"""No run of a router begins later than this."""
SATURATING = {"tenants": 64, "talks": 90, "short-talks": 120, "unshared": 64}
SHARE = 0.75


@dataclass(slots=True)
class Seen:
    """What was seen of the requests after the first third; `later` are the turns of a talk after its first one."""

    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    prompt: int = 0
    cached: int = 0
    failed: int = 0
    seeds: list[int] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        return _quantile(self.first, share)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextlib.asynccontextmanager
async def workers(kind: str) -> AsyncIterator[DistributedRuntime]:
    """The graph: a NATS server, two processes, and this one as the router's."""
    with nats_server() as server, contextlib.ExitStack() as closing:
        for number in range(1, WORKERS + 1):
            program = [
                sys.executable,
                "-m",
                "bench.engine_worker",
                server.url,
                str(number),
                *map(str, (SLOTS, SHAPES[kind].room)),
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


async def ask(client: RoutedClient, name: str, tokens: tuple[int, ...], output: int) -> Answer:
    """Ask once."""
    begun = time.perf_counter()
    first, cached = 0.0, 0
    said: list[int] = []
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
            prompts = [Prompts(turn, name, "unshared").words(LENGTHS[1]) for name in names]
            whole = await asyncio.gather(*map(ask, [client] * WORKERS, names, prompts, [9] * WORKERS))
            parts = [
                known[: len(known) * 3 // 4] + Prompts(turn, f"{name}/2", "unshared").words(len(known) // 4)
                for name, known in zip(names, prompts, strict=True)
            ]
            again = await asyncio.gather(
                *map(ask, [client] * WORKERS, [f"{name}/2" for name in names], parts, [4] * WORKERS)
            )
            for known, new in zip(whole, again, strict=True):
                decode.append((known.total - known.first) / 8)
                if new.cached:
                    prefill.append((known.first - new.first) / new.cached)
    return statistics.median(prefill), statistics.median(decode)


async def saturation(runtime: DistributedRuntime, kind: str) -> float:
    """Requests a second that round-robin completes when users ask in turns, so many at once that workers are never idle:
    after a third of the requests, and until there is nothing to ask.
    """
    prompts, at_once = Prompts(0, "full", kind), SHAPES[kind].at_once
    numbers, ended = itertools.count(), list[float]()

    async def user(client: RoutedClient, talks: Iterator[list[Turn]]) -> AsyncIterator[None]:
        for talk in talks:
            said: tuple[int, ...] = ()
            for turn in talk:
                said += turn.tokens
                said += (await ask(client, f"full{next(numbers)}", said, prompts.output)).tokens
                ended.append(time.perf_counter())
                yield

    async with routed(runtime, "round-robin", prompts.prefixes) as client:
        waiting = deque(user(client, talks) for talks in prompts.users())

        async def serve() -> None:
            while len(ended) + at_once <= SATURATING[kind]:
                one = waiting.popleft()
                await anext(one)
                waiting.append(one)

        await asyncio.gather(*(serve() for _ in range(at_once)))
    first, last = len(ended) // 3, len(ended) - at_once
    return (last - first) / (ended[last] - ended[first])


async def run(runtime: DistributedRuntime, mode: Mode, kind: str, rate: float, seed: int, seen: Seen) -> None:
    """One run of one way to route."""
    prompts = Prompts(seed, mode, kind)
    arrivals, third = prompts.arrivals(rate)

    async def one(client: RoutedClient, number: int, begun: float) -> None:
        said: tuple[int, ...] = ()
        for place, turn in enumerate(arrivals[number]):
            await asyncio.sleep(max(0.0, begun + turn.when - time.perf_counter()))
            now = time.perf_counter() - begun
            said += turn.tokens
            try:
                answer = await ask(client, f"{mode}{seed}.{number}.{place}", said, prompts.output)
            except Exception as error:
                print(f"{mode}: {error!r}", file=sys.stderr)
                seen.failed += 1
                return
            if now > third:
                seen.first.append(answer.first)
                seen.later += [answer.first] if place else []
                seen.prompt += len(said)
                seen.cached += answer.cached
            said += answer.tokens

    print(f"{mode}, seed {seed}, {rate:.2f} requests/s", file=sys.stderr)
    async with routed(runtime, mode, prompts.prefixes) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(one(client, number, begun) for number in range(len(arrivals))))


def simulated(mode: Mode, kind: str, rate: float, seeds: list[int], prefill: float, decode: float) -> Seen:
    """The same arrivals on simulated engines that were given the real one's times."""
    engine = SimulationSettings(
        block_size=BLOCK,
        blocks=SLOTS * SHAPES[kind].held // BLOCK,
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
        talks, third = prompts.arrivals(rate)
        arrivals = [(talk[0].when, asked(str(number), talk, prompts)) for number, talk in enumerate(talks)]
        held = [block_hashes(tokens, BLOCK) for tokens in prompts.prefixes]
        workload = Workload(kind="real", rate=rate, seconds=3 * third, workers=WORKERS)
        outcome = Simulation(mode, workload, engine, arrivals=arrivals, held=held).run()
        seen.first += outcome.first_tokens
        seen.prompt += outcome.prompt_tokens
        seen.cached += outcome.cached_tokens
    return seen


def floor(kind: str, rate: float, seeds: Sequence[int], prefill: float, decode: float) -> Seen:
    """The same requests, each computed alone by a worker that holds all that it begins with: nobody routes to less."""
    shape, seen = SHAPES[kind], Seen()
    for seed in seeds:
        prompts = Prompts(seed, "floor", kind)
        talks, third = prompts.arrivals(rate)
        for talk in talks:
            known = shape.system if isinstance(shape, Talks) else len(prompts.prefixes and prompts.prefixes[0])
            for place, turn in enumerate(talk):
                new = len(turn.tokens) - (0 if place else known)
                known += new
                if turn.when > third:
                    seen.first.append(new * prefill + decode)
                    seen.later += [seen.first[-1]] if place else []
                    seen.prompt += known
                    seen.cached += known - new
                known += shape.output
    return seen


def asked(name: str, turns: Sequence[Turn], prompts: Prompts) -> Arrival:
    """The first request of a user, which leads to the next ones; the answers' words are chosen here."""
    said: tuple[int, ...] = ()
    requests = []
    for place, turn in enumerate(turns):
        said += turn.tokens
        requests.append(Arrival(f"{name}.{place}", said, block_hashes(said, BLOCK), prompts.output))
        said += prompts.words(prompts.output)
    for request, then, turn in zip(requests, requests[1:], turns[1:], strict=False):
        request.then, request.not_before = then, turn.when
    return requests[0]


async def measure(kind: str) -> dict[str, Any]:
    """The table."""
    shape = SHAPES[kind]
    talks = shape if isinstance(shape, Talks) else None
    seen, begun = {mode: Seen() for mode in MODES}, time.monotonic()
    async with workers(kind) as runtime:
        prefill, decode = await alone(runtime)
        print(f"{prefill * 1e3:.2f} ms a prompt token, {decode * 1e3:.1f} ms a pass", file=sys.stderr)
        full = await saturation(runtime, kind)
        rate = full * SHARE
        seeds = list(range(1, ROUNDS + 1))
        for seed, mode in itertools.product(seeds, MODES):
            if seed > 1 and mode not in COMPARED:
                continue
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
    least = floor(kind, rate, kv.seeds, prefill, decode)
    rows.append(
        [
            "floor",
            *(f"{least.quantile(share) * 1e3:.0f}" for share in (0.5, 0.9)),
            f"{least.cached / least.prompt:.0%}",
            *[""] * 5,
        ]
    )
    bound = [turns.quantile(share) / least.quantile(share) for share in (0.5, 0.9)]
    half, most = (turns.quantile(share) / kv.quantile(share) for share in (0.5, 0.9))
    later = ""
    if talks:
        rest = (_quantile(turns.later, share) / _quantile(kv.later, share) for share in (0.5, 0.9))
        later = " Of the turns after a talk's first: {:.1f} and {:.1f} times.".format(*rest)
    return {
        "title": f"Routing, a real engine: {shape.title}, on two workers with llama.cpp and SmolLM2-135M (Q4_1), one thread each",
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
            f"**Real.** {shape.told}; {shape.output} tokens "
            f"out, {SLOTS} slots of {shape.room} a worker. {rate:.2f} requests/s = {SHARE:.0%} of round-robin's saturation, {'at even times' if talks and talks.even else 'Poisson'}, "
            f"{len(kv.seeds)} rounds of {f'{TALKING:g} s' if talks else f'{REQUESTS} requests'} for kv and round-robin in "
            "turns, one for the others, seeds from 1, the same for each; the first third of each is not counted.",
            f"kv against round-robin: TTFT p50 {half:.1f} times lower, p90 {most:.1f} times.{later}",
            "Floor: each prompt computed alone by a worker that holds all that it begins with, from the times below. It is "
            f"{bound[0]:.1f} and {bound[1]:.1f} times lower than round-robin.",
            f"The simulated engine was given this one's times: {prefill * 1e3:.2f} ms for each prompt token, {decode * 1e3:.1f} ms "
            "for each pass, measured with one request on each worker before the runs.",
        ],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1]))))
