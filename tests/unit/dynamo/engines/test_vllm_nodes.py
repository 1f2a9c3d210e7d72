"""vLLM on several nodes: what its processes are told, by the environment that the manifests give."""

from __future__ import annotations

import sys

import pytest

from dynamo.engines.choice import start_engine
from dynamo.engines.vllm_nodes import BadPlace, VllmNode, read_place
from dynamo.sdk.errors import Unavailable

GIVEN = ["--model", "org/large", "--tensor-parallel-size", "16", "--enforce-eager"]


def environment(rank: str = "1", nodes: str = "2", leader: str = "large-0.large.team"):
    return {"DYNAMO_NODES": nodes, "DYNAMO_NODE_RANK": rank, "DYNAMO_LEADER_ADDRESS": leader}


def test_alone():
    """One node needs nothing said."""
    assert read_place({}) is None
    assert read_place(environment(nodes="1", leader="")) is None


def test_leader():
    """The leader's engine is told how many nodes there are and where they meet."""
    here = read_place(environment(rank="0"))
    assert here.is_leader
    assert here.build_arguments(GIVEN) == [
        *GIVEN, "--nnodes", "2", "--node-rank", "0", "--master-addr", "large-0.large.team",
        "--distributed-executor-backend", "mp",
    ]  # fmt: skip


def test_other_node():
    """The others run vLLM without an API, for the same model, at the leader's address."""
    here = read_place(environment())
    assert not here.is_leader
    assert here.build_command(GIVEN) == [
        sys.executable, "-m", "dynamo.engines.vllm_headless", "--model", "org/large",
        "--tensor-parallel-size", "16", "--enforce-eager", "--nnodes", "2", "--node-rank", "1",
        "--master-addr", "large-0.large.team", "--distributed-executor-backend", "mp",
    ]  # fmt: skip


def test_given_stands():
    """Who says it himself knows better: Ray, another address, in whatever form."""
    given = ["--model", "m", "--distributed-executor-backend=ray", "--master_addr", "other"]
    assert read_place(environment()).build_arguments(given)[len(given) :] == ["--nnodes", "2", "--node-rank", "1"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nodes": "two"}, "DYNAMO_NODES is `two`"),
        ({"nodes": "0"}, "DYNAMO_NODES is `0`"),
        ({"rank": ""}, "DYNAMO_NODE_RANK is ``"),
        ({"rank": "2"}, "not a number below the 2"),
        ({"leader": ""}, "DYNAMO_LEADER_ADDRESS does not say"),
    ],
)
def test_wrong(wrong, said):
    """A place that is none is refused before anything starts."""
    with pytest.raises(BadPlace, match=said):
        read_place(environment(**wrong))


async def test_not_called(monkeypatch):
    """A node that does not lead is alive as long as vLLM is there, and refuses to be asked."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    node = await start_engine({"engine": "vllm"}, ["--model", "m"])  # no vLLM is here, so that it ends at once
    assert isinstance(node, VllmNode)
    with pytest.raises(Unavailable, match="leader"):
        await anext(node.generate(None))
    await node.close()
    assert not node.alive
