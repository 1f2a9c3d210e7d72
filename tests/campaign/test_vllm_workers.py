"""vLLM for real in several processes: two workers behind the router, one of them killed, and one engine on two nodes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dynamo.llm.generation import EngineRequest
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv_routing.routed_client import RoutedClient
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.routing_service import RoutingService, routing
from dynamo.rpc.endpoint_client import Client
from dynamo.rpc.runtime import connect
from support import vllm_environment
from support.nats import NatsServer, nats_server

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def workers(python: str, model: Path) -> Iterator[tuple[NatsServer, dict[int, subprocess.Popen[str]]]]:
    """Two worker processes with vLLM, by id, and the server where they announce themselves."""
    started: dict[int, subprocess.Popen[str]] = {}
    with nats_server() as server:
        try:
            for number in (1, 2):
                started[number] = subprocess.Popen(
                    [python, "-m", "campaign.vllm_worker", server.url, str(number), str(model)],
                    env=vllm_environment.environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
                )  # fmt: skip
            for worker in started.values():
                _ready(worker)
            yield server, started
        finally:
            for worker in started.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
                worker.stdout.close()


@contextlib.asynccontextmanager
async def routed(server: NatsServer) -> AsyncIterator[tuple[RoutingService, Client]]:
    """A router of both workers, and a client of them."""
    async with await connect({"NATS_SERVER": server.url}) as runtime:
        service = await routing(runtime, "ns", "Worker", "generate", RouterSettings(block_size=32))
        client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
        try:
            assert await service.ready(2, 30)
            yield service, client
        finally:
            await service.close()


def _ready(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout
    for line in worker.stdout:
        if line == "ready\n":
            return
    raise AssertionError(f"ended with {worker.wait()}")


def asked(name: str, stem: int, more: int = 0, limit: int = 4) -> EngineRequest:
    """A prompt of 200 tokens of a stem, `more` of which are the request's own."""
    tokens = [3 + (stem * 37 + number * number) % 250 for number in range(200)]
    own = [3 + (number * 11) % 250 for number in range(more)]
    return EngineRequest(id=name, tokens=(*tokens, *own), max_tokens=limit, sampling={"temperature": 0})


async def test_routing(workers: tuple[NatsServer, dict[int, subprocess.Popen[str]]]) -> None:
    """Prompts go to the worker that holds their beginning: vLLM itself says that it took it from its cache."""
    chosen: dict[str, int] = {}
    async with routed(workers[0]) as (service, client):

        def decided(request: EngineRequest, decision: object) -> None:
            chosen[request.id] = decision.worker  # type: ignore[attr-defined]

        choosing = RoutedClient(service, client, on_decision=decided)

        async def cached(request: EngineRequest) -> int:
            return max([step.cached_tokens async for step in choosing.generate(request)])

        stems = range(6)
        first = [await cached(asked(f"a{stem}", stem)) for stem in stems]
        index = service.router.index
        async with asyncio.timeout(30):
            while not all(
                max(index.match(block_hashes(asked("", s).tokens, 32)).values(), default=0) == 6 for s in stems
            ):
                await asyncio.sleep(0.05)
        again = await asyncio.gather(*(cached(asked(f"b{stem}", stem, 40)) for stem in stems))
        assert first == [0] * 6
        assert list(again) == [192] * 6  # six blocks of 32
        assert all(chosen[f"a{stem}"] == chosen[f"b{stem}"] for stem in stems)
        assert set(chosen.values()) == {1, 2}
        rates: dict[int, float] = {}
        async with asyncio.timeout(30):
            while not (rates and all(rate > 0.3 for rate in rates.values())):
                await asyncio.sleep(0.05)
                told = {worker: service.router.aggregator.get(worker) for worker in (1, 2)}
                rates = {worker: one.gpu_prefix_cache_hit_rate for worker, one in told.items()}
        print(json.dumps({"chosen": chosen, "hit rates": rates}))
        # The other worker has nothing of it: what was saved was saved by the choice.
        reply = client.direct(asked("c0", 0, 40), 3 - chosen["a0"])
        assert max([item["cached_tokens"] async for item in reply]) == 0


async def test_a_worker_is_killed(workers: tuple[NatsServer, dict[int, subprocess.Popen[str]]]) -> None:
    """kill -9 in the middle of a stream: it goes on with the other worker, with no token missing or doubled."""
    server, processes = workers
    async with routed(server) as (service, client):
        chosen: list[int] = []
        choosing = RoutedClient(service, client, on_decision=lambda request, decision: chosen.append(decision.worker))
        made: list[int] = []
        before = 0
        async for step in choosing.generate(asked("k", 1, limit=400)):
            made += step.tokens
            if not before:
                before = len(made)
                os.killpg(processes[chosen[0]].pid, signal.SIGKILL)
        assert chosen == [chosen[0], 3 - chosen[0]]
        whole = [token async for step in choosing.generate(asked("w", 1, limit=400)) for token in step.tokens]
        assert len(made) == len(whole) == 400
        # Of two tokens that are as likely one may come out where the prompt is computed, the other where it grew.
        same = next((at for at, (one, other) in enumerate(zip(made, whole, strict=True)) if one != other), 400)
        print(json.dumps({"before": before, "same": same}))
        assert same > before


def test_two_nodes(python: str, model: Path) -> None:
    """One engine over two processes that stand for two nodes: the leader answers as one alone does; each ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    sides = [
        subprocess.Popen(
            [python, "-m", "campaign.vllm_two_nodes", rank, str(model), port], env=vllm_environment.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        for rank in "01"
    ]  # fmt: skip

    def ask(side: subprocess.Popen[str], line: str = "") -> dict[str, object]:
        if line:
            side.stdin.write(line + "\n")
            side.stdin.flush()
        for said in side.stdout:
            if said.startswith("> "):
                return {} if said == "> started\n" else json.loads(said[2:])
        raise AssertionError(f"ended with {side.wait()}")

    try:
        for side in sides:
            ask(side)
        first, again = ask(sides[0], "a"), ask(sides[0], "b")
        assert ask(sides[1], "?") == {"alive": True}
        assert len(first["tokens"]) == 8 and first["tokens"] == again["tokens"]
        assert (first["cached"], again["cached"]) == (0, 192)
        print(json.dumps(again))
        for side in sides:
            side.stdin.close()
        assert [side.wait(60) for side in sides] == [0, 0]
    finally:
        for side in sides:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(side.pid, signal.SIGKILL)
            side.wait()
            side.stdin.close()
            side.stdout.close()
