"""A real small model in this process. What it says is not held to facts, only to being the same again."""

from __future__ import annotations

import asyncio
import json

import pytest

from dynamo.engines.embedded import EmbeddedEngine, EmbeddedSettings, NoEngine, weights
from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.llm import model_files
from dynamo.llm.kv_events import Stored
from dynamo.llm.openai_processor import OpenAIProcessor
from dynamo.llm.preprocessor import Preprocessor

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
    return model_files.read(str(weights("smollm2")))


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


async def test_prefill_only(engine):
    """A prefill has no blocks to hand on: the one who decodes is told to compute them again."""
    tokens, last = await answer(engine, request("p", prefill_only=True))
    assert len(tokens) <= 1
    assert last.handoff.parameters == {"recompute": True}


def test_missing():
    """A model that is not there is said in one line."""
    with pytest.raises(NoEngine, match="no model is at"):
        weights("absent.gguf")
    with pytest.raises(NoEngine, match="cannot be loaded"):
        asyncio.run(EmbeddedEngine.start(__file__))
