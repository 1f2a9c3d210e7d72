"""A real small model in this process. What it says is not held to facts, only to being the same again."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from dynamo.engines.embedded import EmbeddedEngine, EmbeddedSettings, NoEngine, find_weights, split_prompt
from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.llm.kv.events import Removed, Stored
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.text import model_files
from dynamo.llm.text.openai_processor import OpenAIProcessor
from dynamo.llm.text.preprocessor import Preprocessor

pytest.importorskip("xllamacpp", reason="needs dynamo-build[cpu]")
SETTINGS = EmbeddedSettings(slots=2, context=512, threads=1)


class Told:
    def __init__(self):
        self.events, self.metrics = [], []


@pytest.fixture(scope="module")
def told():
    return Told()


@pytest.fixture(scope="module")
def engine(told):
    started = EmbeddedEngine.start("smollm2", SETTINGS, on_events=told.events.extend, on_metrics=told.metrics.append)
    engine = asyncio.run(started)
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def files():
    return model_files.read_model(str(find_weights("smollm2")))


def request(name, tokens=range(300, 340), **more):
    return EngineRequest(id=name, tokens=tuple(tokens), **{"max_tokens": 8, "sampling": {"temperature": 0}, **more})


async def answer(engine, asked):
    steps = [step async for step in engine.generate(asked)]
    return [token for step in steps for token in step.tokens], steps[-1]


async def ask(engine, files, text, **more):
    processor = OpenAIProcessor(Preprocessor(files, SETTINGS.context), engine.generate)
    chunks = [
        chunk
        async for chunk in processor.chat({"messages": [{"role": "user", "content": text}], "temperature": 0, **more})
    ]
    told = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    return told, chunks


async def test_answers_in_words(engine, files):
    """A question gets words, the same ones again, and the prompt is not computed twice."""
    first, _ = await ask(engine, files, "What is two plus two?", max_tokens=24)
    again, chunks = await ask(engine, files, "What is two plus two?", max_tokens=24)
    assert first == again
    assert len(first.split()) > 5 and first.isprintable()
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 20
    assert chunks[-1]["usage"]["completion_tokens"] == 24


async def test_characters_of_several_tokens(engine, files):
    """Characters that are made of several tokens arrive whole, though the engine tells only their last token."""
    text, _ = await ask(engine, files, "What is two plus two? And write an emoji 😀 and 日本語", max_tokens=40)
    assert "\ufffd" not in text
    assert not text.isascii()


async def test_json(engine, files):
    """A response format is a grammar for the engine: what it says is JSON."""
    text, _ = await ask(
        engine, files, "Give me a JSON with name and age", max_tokens=60, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(text), dict)


async def test_at_once(engine):
    """More requests than slots: all are answered, each as it is alone."""
    alone = [(await answer(engine, request(f"a{n}", range(300 + n, 330 + n))))[0] for n in range(4)]
    together = await asyncio.gather(*(answer(engine, request(f"b{n}", range(300 + n, 330 + n))) for n in range(4)))
    assert [len(tokens) for tokens, _ in together] == [len(tokens) for tokens in alone]
    assert all(last.finish_reason in ("stop", "length") for _, last in together)


async def test_limits(engine):
    """A prompt that does not fit is refused before the engine hears of it; an answer ends with the context."""
    with pytest.raises(RequestTooLong):
        await answer(engine, request("x", range(512)))
    tokens, last = await answer(engine, request("y", range(300, 800), max_tokens=100, stop_tokens=frozenset()))
    assert (len(tokens), last.finish_reason) == (12, "length")
    with pytest.raises(RequestTooLong):
        await answer(engine, request("x", ()))


async def test_left_early(engine, told):
    """Closing the answer frees its slot: the next requests do not wait for the rest of it."""
    for number in range(4):
        steps = engine.generate(request(f"left{number}", max_tokens=400, stop_tokens=frozenset()))
        await anext(steps)
        await steps.aclose()
    async with asyncio.timeout(20):
        await answer(engine, request("after"))
    assert told.metrics[-1].request_active_slots == 0


async def test_logprobs(engine):
    """Each token comes with its own log probability and those of the likeliest."""
    asked = request("l", sampling={"temperature": 0, "logprobs": 3})
    steps = [step async for step in engine.generate(asked) if step.tokens]
    for step in steps:
        [likely] = step.logprobs
        assert step.tokens[0] in likely and len(likely) >= 3
        assert max(likely.values()) <= 0


async def test_events_and_metrics(engine, told):
    """The blocks of a prompt are told once, and metrics count the prompts' tokens that were there already."""
    told.events.clear()
    await answer(engine, request("e1", range(1000, 1064)))
    await answer(engine, request("e2", range(1000, 1064)))
    stored = [key for event in told.events if isinstance(event, Stored) for key in event.hashes]
    assert len(stored) == len(set(stored)) >= 4
    assert told.metrics[-1].gpu_prefix_cache_hit_rate > 0


@pytest.mark.parametrize(("done", "length", "ends"), [
    (0, 96, []),
    (0, 97, [64]),
    (0, 300, [64, 128, 192, 256]),
    (240, 300, []),
    (208, 400, [272, 336]),
    (1024, 1600, [1152, 1296, 1458]),
    (100, 100, []),
])  # fmt: skip
def test_pieces(done, length, ends):
    """Of equal size at first, larger ones of what is long, and never a small rest."""
    assert list(split_prompt(done, length)) == ends


@pytest.mark.parametrize("second_cache", [0, 64])
async def test_a_short_prompt_does_not_wait_for_a_long_one(second_cache):
    """It is computed between the pieces of that; what was cached is told without the pieces."""
    settings = EmbeddedSettings(slots=2, context=1024, threads=1, second_cache=second_cache)
    engine, order = await EmbeddedEngine.start("smollm2", settings), []

    async def one(name, tokens):
        async for step in engine.generate(request(name, tokens)):
            if name not in order:
                order.append(name)
        return step.cached_tokens

    try:
        long = asyncio.create_task(one("long", range(3000, 3600)))
        await asyncio.sleep(0.05)
        assert await one("short", range(300, 330)) == 0
        assert await long == 0
        assert order == ["short", "long"]
        assert await one("again", range(3000, 3600)) == 599
        # One that is given up in the midst of its prompt stands in nobody's way.
        steps = engine.generate(request("left", range(5000, 5600)))
        given_up = asyncio.create_task(anext(steps))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert len(await asyncio.gather(*(one(f"{number}", range(7000, 7040)) for number in range(4)))) == 4
    finally:
        await engine.close()


async def test_the_second_cache_is_asked_for_whole_prompts():
    """What left its slot long ago is not computed again, though routers are not told of it any more."""
    engine = await EmbeddedEngine.start("smollm2", EmbeddedSettings(slots=1, context=256, threads=1, second_cache=64))
    try:
        for begin in (1000, 2000, 3000, 4000):
            await answer(engine, request(f"{begin}", range(begin, begin + 200), max_tokens=2))
        _, last = await answer(engine, request("again", [*range(1000, 1200), *range(5000, 5010)]))
        assert last.cached_tokens == 200
    finally:
        await engine.close()


async def test_slots_hold_what_was_told():
    """Without the second cache a router knows what each prompt will find: whoever asks, in whatever order."""
    known, chance = set(), random.Random(2)
    settings = EmbeddedSettings(slots=3, context=256, threads=1, second_cache=0)

    def hear(events):
        for event in events:
            known.difference_update(event.hashes) if isinstance(event, Removed) else known.update(event.hashes)

    engine = await EmbeddedEngine.start("smollm2", settings, on_events=hear)
    talks = [tuple(chance.randrange(300, 9000) for _ in range(40)) for _ in range(5)]
    try:
        for number in range(20):
            which = chance.randrange(5)
            talks[which] += tuple(chance.randrange(300, 9000) for _ in range(5))
            hashes = block_hashes(talks[which], 16)
            held = next((place for place, key in enumerate(hashes) if key not in known), len(hashes))
            tokens, last = await answer(engine, request(f"{number}", talks[which], max_tokens=3))
            assert held * 16 <= last.cached_tokens + 1 < held * 16 + 17, number
            talks[which] += tuple(tokens)
    finally:
        await engine.close()


async def test_prefill_only(engine):
    """A prefill has no blocks to hand on: the one who decodes is told to compute them again."""
    tokens, last = await answer(engine, request("p", prefill_only=True))
    assert len(tokens) <= 1
    assert last.handoff.parameters == {"recompute": True}


def test_missing():
    """A model that is not there is said in one line."""
    with pytest.raises(NoEngine, match="no model is at"):
        find_weights("absent.gguf")
    with pytest.raises(NoEngine, match="cannot be loaded"):
        asyncio.run(EmbeddedEngine.start(__file__))
