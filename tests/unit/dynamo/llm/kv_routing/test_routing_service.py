"""Routers and workers that talk: what one holds the other knows, whatever is lost, doubled or restarted."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dynamo.engines.virtual_time import VirtualTimeLoop
from dynamo.llm.kv.engine_events import BlocksStored
from dynamo.llm.kv.events import KvMessage, Removed, Stored
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.llm.kv.publisher import HASHES_A_MESSAGE, KvEventPublisher, WorkerMetricsPublisher
from dynamo.llm.kv_routing.router import NoWorkers, RouterSettings
from dynamo.llm.kv_routing.routing_service import RoutingService
from support.effort import points
from unit.dynamo.llm.kv_routing.lossy_events import LossyEvents

TOKENS = list(range(64))
SETTINGS = RouterSettings(block_size=16)


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def service(events, workers=(1, 2), settings=SETTINGS):
    loop = asyncio.get_running_loop()
    return RoutingService(events, "ns", "Worker", lambda: list(workers), settings, clock=loop.time)


@contextlib.asynccontextmanager
async def worker(events, number):
    blocks = KvEventPublisher(events, "ns", "Worker", number, 16)
    metrics = WorkerMetricsPublisher(events, "ns", "Worker", number, blocks)
    await blocks.start()
    await metrics.start()
    try:
        yield blocks, metrics
    finally:
        await metrics.close()
        await blocks.close()


def known(router, number):
    return router.router.index.blocks_of(number)


def test_events_and_numbers_arrive():
    """What a worker stores and removes is known at the next turn, its numbers after its next message."""

    async def body():
        events = LossyEvents()
        async with service(events) as routing, worker(events, 1) as (blocks, metrics), worker(events, 2):
            await asyncio.sleep(0.1)
            hashes = blocks.stored(TOKENS)
            metrics.publish(ForwardPassMetrics(num_requests_waiting=3))
            await asyncio.sleep(0.1)
            assert routing.route("a", TOKENS).worker == 1
            routing.finished("a")
            assert routing.router.aggregator.get(1).num_requests_waiting == 3
            assert blocks.held == known(routing, 1) == 4
            blocks.removed(hashes[2:])
            await asyncio.sleep(0.1)
            assert routing.route("b", TOKENS).overlap_blocks == 2
            blocks.cleared()
            await asyncio.sleep(0.1)
            assert known(routing, 1) == 0
            assert routing.feed.gaps == routing.feed.doubled == 0

    run(body())


def test_a_late_router_asks():
    """A router that starts when everything was said long ago knows it soon, more than a message's worth too."""

    async def body():
        events = LossyEvents()
        many = list(range(1, 2 * HASHES_A_MESSAGE + 100))
        async with worker(events, 1) as (one, _), worker(events, 2) as (other, _):
            one.publish([Stored(many)])
            one.publish([Removed([5, 6])])
            other.stored(TOKENS)
            await asyncio.sleep(3)
            async with service(events) as late:
                assert await late.ready(2, 5)
                await asyncio.sleep(0.2)
                assert (known(late, 1), known(late, 2)) == (len(many) - 2, 4)
                assert late.route("a", TOKENS).worker == 2

    run(body())


def test_a_late_router_knows_prompts_and_not_only_blocks():
    """What it is told at once has the blocks of each prompt in their order, whatever was evicted and stored again."""

    async def body():
        events = LossyEvents()
        async with worker(events, 1) as (blocks, _):
            one = blocks.stored(range(640))
            other = blocks.stored([*range(320), *range(1000, 1320)])
            for key in reversed(one[30:]):
                blocks.removed([key])
            blocks.removed(one[5:7])
            blocks.publish([Stored(one[5:6]), Stored(one[30:35])])
            await asyncio.sleep(3)
            async with service(events, [1]) as late:
                assert await late.ready(1, 5)
                await asyncio.sleep(0.2)
                assert known(late, 1) == blocks.held == 40 + 20 - 6
                assert late.router.index.match(one) == late.router.index.match(other) == {1: 6}
                blocks.publish([Stored(one[6:7])])
                await asyncio.sleep(0.1)
                assert (late.router.index.match(one), late.router.index.match(other)) == ({1: 35}, {1: 40})

    run(body())


def test_evictions_of_one_turn_are_told_in_the_order_of_the_prompt():
    """Block by block from the end, as engines evict, or in order: one event, which an index takes by the row."""

    async def body():
        events = LossyEvents()
        told: list[KvMessage] = []
        async with worker(events, 1) as (blocks, _):
            blocks._send_message = told.append
            hashes = blocks.stored(TOKENS)
            blocks.removed(hashes[3:])
            blocks.removed(hashes[1:3])
            blocks.publish([Stored(hashes[1:2]), Removed(hashes[:0]), Removed([7, hashes[1]])])
            await asyncio.sleep(0.1)
        removals = [Removed(hashes[1:], hashes[:1]), Removed(hashes[1:2], [])]
        assert told[0].events == [Stored(hashes), removals[0], Stored(hashes[1:2]), removals[1]]

    run(body())


@pytest.mark.parametrize("seed", range(points(6, 500)))
def test_losses_heal(seed):
    """With a third of all messages lost and some doubled, the index is exact seconds after the last one."""

    async def body():
        events = LossyEvents(seed)
        async with service(events) as routing, worker(events, 1) as (blocks, _), worker(events, 2) as (other, _):
            events.lost, events.doubled = 0.35, 0.2
            for turn in range(60):
                hashes = blocks.stored(range(turn * 64, turn * 64 + 64))
                other.publish([Stored([turn + 1])])
                if turn % 3 == 0:
                    blocks.removed(hashes[1:])
                if turn == 40:
                    other.cleared()
                await asyncio.sleep(0.05)
            for _ in range(40):
                await asyncio.sleep(0.5)
                if routing.feed.is_complete and (known(routing, 1), known(routing, 2)) == (blocks.held, other.held):
                    break
            assert routing.router.index.match(block_hashes(range(64, 128), 16)) == {1: 4}
            assert (known(routing, 1), known(routing, 2)) == (180, 19)
            assert routing.feed.gaps > 0 and routing.feed.doubled > 0

    run(body())


def test_the_last_message_may_be_lost():
    """Nothing follows it, but the worker's heartbeat tells how many there were."""

    async def body():
        events = LossyEvents()
        async with service(events) as routing, worker(events, 1) as (blocks, _):
            await asyncio.sleep(0.5)
            events.lost = 1.0
            blocks.stored(TOKENS)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            events.lost = 0.0
            await asyncio.sleep(5)
            assert known(routing, 1) == 4

    run(body())


def test_workers_come_back_and_leave():
    """A worker that begins anew holds nothing of before; one that left the registry is forgotten after a while."""

    async def body():
        events, there = LossyEvents(), [1, 2]
        async with service(events, there) as routing, worker(events, 2) as (other, _):
            async with worker(events, 1) as (blocks, _):
                await asyncio.sleep(0.1)
                blocks.stored(TOKENS)
                other.stored(TOKENS[:32])
                await asyncio.sleep(0.1)
                assert known(routing, 1) == 4
            async with worker(events, 1) as (blocks, _):
                blocks.stored(TOKENS[:16])
                await asyncio.sleep(0.1)
                assert known(routing, 1) == 1
            there.remove(1)
            assert routing.route("a", TOKENS).worker == 2
            await asyncio.sleep(6)
            assert known(routing, 1) == 0 and routing.router.index.workers == (2,)
            there.clear()
            with pytest.raises(NoWorkers):
                routing.route("b", TOKENS)

    run(body())


def test_routers_agree():
    """What one router sent counts for the other; equal knowledge gives equal decisions; a dead one's work ends."""

    async def body():
        events = LossyEvents()
        first, second = service(events), service(events)
        async with second:
            async with first:
                await asyncio.sleep(0.1)
                chosen = first.route("a", TOKENS).worker
                await asyncio.sleep(0.1)
                assert second.router.prediction.get_work(chosen) == first.router.prediction.get_work(chosen)
                assert [first.router.decide(TOKENS, [1, 2], [], str(n)).worker for n in range(20)] == [
                    second.router.decide(TOKENS, [1, 2], [], str(n)).worker for n in range(20)
                ]
                first.first_token("a")
                await asyncio.sleep(0.1)
                assert second.router.prediction.get_work(chosen).prefill_tokens == 0
                async with service(events) as third:
                    await asyncio.sleep(0.5)
                    assert third.router.prediction.get_work(chosen).requests == 1
                    assert third.replicas.other_count == 2
                first.finished("a")
                await asyncio.sleep(0.1)
                assert second.router.prediction.get_work(chosen).requests == 0
                lost = first.route("b", TOKENS).worker
                await asyncio.sleep(0.1)
                assert second.router.prediction.get_work(lost).requests == 1
            await asyncio.sleep(8)
            assert second.router.prediction.get_work(lost).requests == 0

    run(body())


def test_routers_agree_without_events_too():
    """In approximate mode a router also learns what another one sent where."""

    async def body():
        events = LossyEvents()
        settings = RouterSettings(block_size=16, mode="approximate")
        async with service(events, settings=settings) as first, service(events, settings=settings) as second:
            await asyncio.sleep(0.1)
            chosen = first.route("a", TOKENS).worker
            first.finished("a")
            await asyncio.sleep(0.1)
            decision = second.route("b", TOKENS)
            assert (decision.worker, decision.overlap_blocks) == (chosen, 4)

    run(body())


def test_an_engine_with_names_of_its_own():
    """Events in an engine's words are told in ours; one that follows something unknown is not told."""

    async def body():
        events = LossyEvents()
        async with service(events) as routing, worker(events, 1) as (blocks, _):
            await asyncio.sleep(0.1)
            told = BlocksStored(hashes=(b"x", b"y"), parent=None, tokens=tuple(TOKENS[:32]), block_size=16)
            lost = BlocksStored(hashes=(b"z",), parent=b"?", tokens=tuple(TOKENS[32:48]), block_size=16)
            assert blocks.publish_engine([told])
            assert not blocks.publish_engine([lost])
            await asyncio.sleep(0.1)
            assert routing.route("a", TOKENS).overlap_blocks == 2

    run(body())


def test_what_is_no_message_is_counted():
    """Bytes from somebody else change nothing."""

    async def body():
        events = LossyEvents()
        async with service(events) as routing:
            await asyncio.sleep(0.1)
            for kind in ("kv_events", "load", "routers"):
                await events.topic("ns", f"Worker.{kind}", keep=0).publish(b"\x93nonsense")
                await events.topic("ns", f"Worker.{kind}", keep=0).publish({"not": "bytes"})
            await asyncio.sleep(0.1)
            assert routing.feed.malformed == 2

    run(body())
