"""One vLLM on several nodes: the leader's process is the engine, those of the other nodes lend it their devices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from dynamo.engines.engine import EngineRequest, EngineStep
from dynamo.sdk.errors import BadConfiguration, Unavailable

NODES, RANK, LEADER = "DYNAMO_NODES", "DYNAMO_NODE_RANK", "DYNAMO_LEADER_ADDRESS"
END_SECONDS = 10.0


class BadPlace(BadConfiguration):
    """The environment does not say which of several nodes this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which of several nodes a process runs on, as the manifests say it."""

    nodes: int
    rank: int
    leader: str

    @property
    def is_leader(self) -> bool:
        """Whether this node is the one that is called."""
        return self.rank == 0

    def build_arguments(self, given: Sequence[str]) -> list[str]:
        """Arguments for vLLM with its own for several nodes behind them; what was given stands.

        Source: vLLM's ParallelConfig; without Ray it starts its workers itself, `mp`.
        """
        own = {
            "--nnodes": str(self.nodes),
            "--node-rank": str(self.rank),
            "--master-addr": self.leader,
            "--distributed-executor-backend": "mp",
        }
        names = {argument.partition("=")[0].replace("_", "-") for argument in given}
        return [*given, *(part for name, value in own.items() if name not in names for part in (name, value))]

    def build_command(self, given: Sequence[str]) -> list[str]:
        """The program of a node that does not lead: vLLM's workers without an engine."""
        return [sys.executable, "-m", "dynamo.engines.vllm_headless", *self.build_arguments(given)]


def read_place(environment: Mapping[str, str]) -> Place | None:
    """Which node this is; None where there is one alone. Raises BadPlace."""
    text = environment.get(NODES, "") or "1"
    if not text.isdecimal() or not int(text):
        raise BadPlace(f"{NODES} is `{text}`, not a number of nodes")
    nodes = int(text)
    if nodes == 1:
        return None
    rank = environment.get(RANK, "")
    if not rank.isdecimal() or int(rank) >= nodes:
        raise BadPlace(f"{RANK} is `{rank}`, not a number below the {nodes} of {NODES}")
    leader = environment.get(LEADER, "")
    if not leader:
        raise BadPlace(f"{NODES} is {nodes}, and {LEADER} does not say where the leader is")
    return Place(nodes=nodes, rank=int(rank), leader=leader)


class VllmNode:
    """What stands for an engine on a node that does not lead. It is not called; when vLLM ends, it is not alive."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    async def start(cls, place: Place, arguments: Sequence[str]) -> VllmNode:
        """Start vLLM's workers; they wait for the leader. Raises OSError."""
        command = place.build_command(arguments)
        return cls(await asyncio.to_thread(subprocess.Popen, command, stdin=subprocess.DEVNULL))

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """Raises Unavailable."""
        raise Unavailable("this node lends its devices; the leader is the one to ask")
        yield

    @property
    def alive(self) -> bool:
        """Whether vLLM's workers still run."""
        return self._process.poll() is None

    async def close(self) -> None:
        """End vLLM's workers."""
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
