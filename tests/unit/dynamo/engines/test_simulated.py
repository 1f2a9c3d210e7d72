"""The simulated engine, on a clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.engines.batching import Batcher, SimulationSettings
from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.engines.simulated import SimulatedEngine
from dynamo.engines.virtual_time import VirtualTimeLoop
from dynamo.llm.kv.events import Removed, Stored
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.index import KvIndexer
from support.effort import examples

SMALL = SimulationSettings(block_size=4, blocks=16, slots=4, pass_tokens=8)


def request(name, tokens, limit=4, **more):
    return EngineRequest(id=name, tokens=tuple(tokens), max_tokens=limit, **more)


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


async def said(engine, asked):
    return [step async for step in engine.generate(asked)]


def test_a_second_turn_is_answered_from_the_cache():
    """What was computed is reused in whole blocks, and the answer is the same as without the cache."""

    async def body():
        engine = SimulatedEngine(SMALL)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        first = await said(engine, request("a", range(20), 3))
        cold = loop.time() - begun
        again = await said(engine, request("b", range(20), 3))
        warm = loop.time() - begun - cold
        assert [step.tokens for step in first] == [step.tokens for step in again]
        assert (first[0].cached_tokens, again[0].cached_tokens) == (0, 16)
        assert [step.finish_reason for step in again] == [None, None, "length"]
        assert warm < cold
        assert engine.batcher.pool.active_blocks == 0
        assert engine.batcher.build_metrics().gpu_prefix_cache_hit_rate == 0.4

    run(body())


def test_long_prompts_are_prefilled_in_chunks():
    """A pass computes no more tokens than its budget, and those who generate go on meanwhile."""
    batcher = Batcher(SMALL)
    batcher.add_request(request("short", range(4), 10))
    batcher.run_pass()
    batcher.add_request(request("long", range(100, 120), 2))
    passes = [[name for name, _ in batcher.run_pass().steps] for _ in range(4)]
    assert passes == [["short"], ["short"], ["short", "long"], ["short", "long"]]


def test_requests_that_do_not_fit_are_refused_and_others_wait():
    """Too long is an error at once; no room now is a place in the line."""
    batcher = Batcher(SMALL)
    with pytest.raises(RequestTooLong, match="do not fit into 16 blocks of 4"):
        batcher.add_request(request("a", range(64), 1))
    with pytest.raises(RequestTooLong, match="empty"):
        batcher.add_request(request("a", []))
    for name in "abcdef":
        batcher.add_request(request(name, [ord(name)], 2))
    batcher.run_pass()
    assert batcher.build_metrics().num_requests_waiting == 2
    assert batcher.build_metrics().request_active_slots == 4


def test_a_reader_that_leaves_frees_its_blocks():
    """Closing the answer early takes the request out of the engine."""

    async def body():
        engine = SimulatedEngine(SMALL)
        answer = engine.generate(request("a", range(20), 30))
        await anext(answer)
        assert engine.batcher.pool.active_blocks > 0
        await answer.aclose()
        assert engine.batcher.pool.active_blocks == 0
        assert not engine.batcher.is_busy
        other = asyncio.ensure_future(said(engine, request("b", range(5), 40)))
        await asyncio.sleep(0.01)
        await engine.close()
        assert (await other)[-1].finish_reason == "cancelled"
        assert engine.batcher.pool.active_blocks == 0

    run(body())


def test_two_requests_of_one_name():
    """A second one is refused while the first runs."""

    async def body():
        engine = SimulatedEngine(SMALL)
        async with contextlib.aclosing(engine.generate(request("a", range(5)))) as answer:
            await anext(answer)
            with pytest.raises(ValueError, match="runs already"):
                await anext(engine.generate(request("a", range(5))))

    run(body())


REQUESTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 24), st.integers(1, 30), st.integers(0, 6)), min_size=1, max_size=12
)


@settings(max_examples=examples(150))
@given(REQUESTS, st.integers(14, 30), st.integers(1, 4), st.integers(1, 12))
def test_whatever_comes_all_are_answered_and_nothing_leaks(wanted, blocks, slots, budget):
    """With little room, preemption, cancelling, and prompts that arrive computed: every request gets exactly its tokens, the same as alone; the
    events tell what the engine holds; and no block is in use at the end.
    """
    setting = SimulationSettings(block_size=4, blocks=blocks, slots=slots, pass_tokens=budget)
    batcher, told, index, answers = Batcher(setting), set(), KvIndexer(), {}
    chooser = random.Random(1)
    waiting = [
        (when, request(str(number), [stem * 100 + index for index in range(length)], limit))
        for number, (stem, length, limit, when) in enumerate(wanted)
    ]
    turn = 0
    while waiting or batcher.is_busy:
        for entry in [entry for entry in waiting if entry[0] <= turn]:
            waiting.remove(entry)
            batcher.add_request(entry[1], received=chooser.choice([0, 0, len(entry[1].tokens)]))
            answers[entry[1].id] = []
        if chooser.random() < 0.05 and answers:
            gone = chooser.choice(list(answers))
            batcher.cancel_request(gone)
            if len(answers[gone]) < wanted[int(gone)][2]:
                del answers[gone]
        for name, step in batcher.run_pass().steps:
            answers[name] += step.tokens
        for event in batcher.pool.drain_events():
            if isinstance(event, Stored):
                assert told.isdisjoint(event.hashes)
                told |= set(event.hashes)
                index.stored(1, event.hashes)
            else:
                assert isinstance(event, Removed) and told >= set(event.hashes)
                told -= set(event.hashes)
                index.removed(1, event.hashes)
        pool = batcher.pool
        for name in answers:
            hashes = block_hashes([wanted[int(name)][0] * 100 + place for place in range(wanted[int(name)][1])], 4)
            assert index.match(hashes).get(1, 0) == pool.count_prefix(hashes)
        assert told == set(pool.list_hashes()) and len(pool.list_hashes()) == len(told)
        assert pool.active_blocks + len(pool._kept) <= pool.total and pool._loose >= 0
        turn += 1
        assert turn < 3000
    assert batcher.pool.active_blocks == 0
    for name, tokens in answers.items():
        stem, length, limit, _ = wanted[int(name)]
        assert len(tokens) == limit
        alone = Batcher(SimulationSettings(block_size=4, blocks=blocks))
        alone.add_request(request("alone", [stem * 100 + index for index in range(length)], limit))
        expected = []
        while alone.is_busy:
            for _, step in alone.run_pass().steps:
                expected += step.tokens
        assert tokens == expected


def test_its_events_fill_an_index():
    """A router that hears the events knows how much of a prompt the engine holds."""

    async def body():
        index = KvIndexer()

        def hear(events):
            for event in events:
                index.stored(1, event.hashes) if isinstance(event, Stored) else index.removed(1, event.hashes)

        engine = SimulatedEngine(SMALL, on_events=hear)
        for stem in range(8):
            await said(engine, request("a", range(stem, stem + 12)))
        hashes = block_hashes(range(7, 19), 4)
        assert index.match(hashes) == {1: 3}
        assert index.blocks_of(1) == len(engine.batcher.pool.list_hashes()) <= 16

    run(body())


def test_a_prompt_from_another_engine():
    """A prefill ends in word of where the blocks are; who has that word computes one token only, after the transfer."""

    async def body():
        setting = SimulationSettings(block_size=4, pass_seconds=1.0, prefill_seconds=0.1, transfer_seconds=0.5)
        (handed,) = await said(SimulatedEngine(setting), request("a", range(8), 5, prefill_only=True))
        assert (handed.tokens, handed.finish_reason, handed.handoff.parameters) == ((), "length", {"tokens": 8})
        loop = asyncio.get_running_loop()
        before = loop.time()
        engine = SimulatedEngine(setting)
        steps = await said(engine, request("b", range(8), 1, handoff=handed.handoff))
        assert loop.time() - before == pytest.approx(8 * 0.5 + 1, abs=1e-3)
        assert steps[0].cached_tokens == 7
        assert steps[0].tokens == (await said(SimulatedEngine(setting), request("c", range(8), 1)))[0].tokens
        assert engine.batcher.build_metrics().gpu_prefix_cache_hit_rate == 0

    run(body())


def test_time_is_that_of_the_simulated_engine():
    """On a jumping clock a pass takes exactly what the settings say, and the same every time."""

    async def body():
        setting = SimulationSettings(
            block_size=4, pass_seconds=1.0, prefill_seconds=0.1, attention_seconds=0.0, decode_seconds=0.25
        )
        await said(SimulatedEngine(setting), request("a", range(8), 2))
        return asyncio.get_running_loop().time()

    assert run(body()) == run(body()) == pytest.approx(1 + 0.8 + 1 + 0.25 * 3, abs=1e-6)
