"""OpenAI's requests through tokens and back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from dynamo.engines.echo import EchoEngine
from dynamo.llm.generation import EngineStep
from dynamo.llm.text.model_files import create_byte_model, read_model
from dynamo.llm.text.openai_processor import OpenAIProcessor
from dynamo.llm.text.preprocessor import ContextLengthExceeded, Preprocessor
from dynamo.sdk.errors import BadRequest, Unavailable
from support import small_models

HI = [{"role": "user", "content": "Grüße"}]


class Scripted:
    """An engine that says what it is told to, byte by byte, and counts those who left early."""

    def __init__(self, text="", steps=None):
        self.steps = steps or [EngineStep(tokens=(byte,)) for byte in text.encode()]
        self.asked = []
        self.closed = 0

    async def generate(self, request):
        self.asked.append(request)
        try:
            for step in self.steps:
                yield step
            yield EngineStep(tokens=(), finish_reason="length", cached_tokens=3)
        finally:
            self.closed += 1


def processor(engine, context=0):
    return OpenAIProcessor(Preprocessor(create_byte_model(context)), engine.generate)


async def chat(engine, context=0, **request):
    made = processor(engine, context).chat({"model": "m", "messages": HI, **request})
    return [chunk async for chunk in made]


def text_of(chunks, index=0):
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content", "") for choice in choices), choices[-1]["finish_reason"]


async def test_echo():
    """The conversation as text, through the engine that gives it back."""
    chunks = await chat(EchoEngine(), max_tokens=100)
    assert text_of(chunks) == ("user: Grüße\nassistant:", "stop")
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["usage"]["completion_tokens"] == len("user: Grüße\nassistant:".encode())


async def test_stop_string():
    """The answer ends before the stop string, and the engine is closed at once."""
    engine = Scripted("one two STOP three")
    chunks = await chat(engine, stop=["STOP", "never"])
    assert text_of(chunks) == ("one two ", "stop")
    assert engine.closed == 1
    assert chunks[-1]["usage"]["completion_tokens"] == len("one two STOP")


async def test_characters_are_whole():
    """No chunk has a part of a character."""
    chunks = await chat(Scripted("日本😀"))
    parts = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert [part for part in parts if part] == ["日", "本", "😀"]


async def test_choices():
    """Several choices are apart, with requests of their own, and the prompt is counted once."""
    engine = Scripted("ab")
    chunks = await chat(engine, n=3, seed=7)
    assert [text_of(chunks, index) for index in range(3)] == [("ab", "length")] * 3
    assert len({request.id for request in engine.asked}) == 3
    assert sorted(request.sampling["seed"] for request in engine.asked) == [7, 8, 9]
    usage = chunks[-1]["usage"]
    assert usage["prompt_tokens"] == len(engine.asked[0].tokens)
    assert (usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (6, 3)


async def test_completions():
    """All forms of prompts, echoed when asked."""
    engine = Scripted("!")
    request = {"model": "m", "prompt": ["a", "b"], "echo": True}
    chunks = [chunk async for chunk in processor(engine).completions(request)]
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == {0: "a!", 1: "b!"}
    async for _ in processor(engine).completions({"prompt": [104, 105], "max_tokens": 3}):
        pass
    assert (engine.asked[-1].tokens, engine.asked[-1].max_tokens) == ((104, 105), 3)
    with pytest.raises(BadRequest):
        async for _ in processor(engine).completions({"prompt": {"a": 1}}):
            pass


async def test_context():
    """A prompt that is too long, alone or with its answer, is refused; without a wish the rest of the context is."""
    engine = Scripted("x")
    await chat(engine, context=100)
    assert engine.asked[0].max_tokens == 100 - len(engine.asked[0].tokens)
    for request in ({"max_tokens": 90}, {"messages": [{"role": "user", "content": "x" * 200}]}):
        with pytest.raises(ContextLengthExceeded, match="100 tokens"):
            await chat(engine, context=100, **request)


async def test_sampling_is_passed():
    """What an engine samples by reaches it; what it does not know does not."""
    engine = Scripted("x")
    await chat(engine, temperature=0.5, top_p=0.9, logprobs=True, top_logprobs=2, user="u")
    assert dict(engine.asked[0].sampling) == {"temperature": 0.5, "top_p": 0.9, "logprobs": 2}


async def test_logprobs():
    """Log probabilities of the engine are those of OpenAI's answer."""
    steps = [EngineStep(tokens=(97,), logprobs=({97: -0.1, 98: -2.0},))]
    chunks = await chat(Scripted(steps=steps), logprobs=True, top_logprobs=2)
    [entry] = chunks[0]["choices"][0]["logprobs"]["content"]
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("a", -0.1, [97])
    assert [item["token"] for item in entry["top_logprobs"]] == ["a", "b"]


async def test_lost_answer():
    """An answer that breaks off is an error, not a short answer."""
    with pytest.raises(Unavailable):
        await chat(Scripted(steps=[EngineStep(tokens=(97,)), EngineStep(tokens=(), finish_reason="cancelled")]))


async def test_left_early():
    """Closing the answer closes the engine's iterators, of all choices."""
    engine = Scripted("a" * 100)
    stream = processor(engine).chat({"messages": HI, "n": 2})
    await anext(stream)
    await stream.aclose()
    assert engine.closed == 2


async def test_end_token():
    """An engine that does not know where answers end is told by its tokens."""
    files = replace(create_byte_model(), ends=frozenset({0}))
    engine = Scripted(steps=[EngineStep(tokens=(97, 0, 98))])
    made = OpenAIProcessor(Preprocessor(files), engine.generate).chat({"messages": HI})
    chunks = [chunk async for chunk in made]
    assert text_of(chunks) == ("a", "stop")


async def test_a_long_prompt_holds_nobody_up():
    """While a long prompt is made tokens, others are served."""
    engine = Scripted("x")
    long = asyncio.ensure_future(
        chat(engine, messages=[{"role": "user", "content": "wörd " * 1_000_000}], max_tokens=1)
    )
    turns = 0
    while not long.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert len((await long)[-1]) and turns > 1  # one turn is what a held loop would give
    assert len(engine.asked[0].tokens) > 5_000_000


async def test_a_model_s_tokenizer_lets_others_run(tmp_path):
    """Its tokens are made outside of the interpreter, so that a long prompt takes nobody's turn away."""
    files = read_model(str(small_models.folder(tmp_path, context=0)))
    engine = Scripted("x")
    made = OpenAIProcessor(Preprocessor(files), engine.generate).completions({"prompt": "wörd " * 200_000})
    long = asyncio.ensure_future(anext(made))
    turns, longest, before = 0, 0.0, time.monotonic()
    while not long.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        turns, longest, before = turns + 1, max(longest, now - before), now
    await long
    await made.aclose()
    assert turns > 5, f"{turns} turns, the longest of {longest:.2f} s"


async def test_what_cannot_fit_is_not_counted(tmp_path, monkeypatch):
    """A prompt that is too long whatever its tokens are is refused by its length alone."""
    files = read_model(str(small_models.folder(tmp_path, context=512)))
    processor = OpenAIProcessor(Preprocessor(files), Scripted("x").generate)
    long = "word " * 4_000_000  # to make its tokens takes half a minute
    with monkeypatch.context() as patched:
        patched.setattr(type(files.tokenizer), "encode", None)
        with pytest.raises(ContextLengthExceeded, match="512 tokens; the prompt has at least"):
            await anext(processor.completions({"prompt": long}))
        with pytest.raises(ContextLengthExceeded, match="at least"):
            await anext(processor.chat({"messages": [{"role": "user", "content": long}]}))
    with pytest.raises(ContextLengthExceeded, match="the prompt has 600"):
        await anext(processor.completions({"prompt": "z" * 600}))


@pytest.mark.parametrize("prompt", [[99999], [-1], [["x"]], [[1, 1.5]], [[1], [99999]]])
async def test_unknown_tokens(tmp_path, prompt):
    """Numbers that are no tokens of the model are the client's mistake, and no engine hears of them."""
    engine = Scripted("x")
    made = OpenAIProcessor(Preprocessor(read_model(str(small_models.folder(tmp_path)))), engine.generate)
    with pytest.raises(BadRequest):
        await anext(made.completions({"prompt": prompt}))
    assert not engine.asked


async def test_suffix():
    """What a model of this kind cannot do is refused, not left out."""
    with pytest.raises(BadRequest, match="suffix"):
        await anext(processor(Scripted("x")).completions({"prompt": "a", "suffix": "b"}))


async def test_wrong_messages():
    """What is no conversation is the client's mistake, whatever it is."""
    for messages in (None, [], ["x"], "text", [None]):
        with pytest.raises(BadRequest):
            await chat(Scripted("x"), messages=messages)
