"""The clients that people use, against the service."""

from __future__ import annotations

import asyncio
import json

import httpx
import openai
import pytest

from dynamo.http.openai.access import Access
from support.openai_service import Words, serving
from support.waiting import eventually

HELLO = [{"role": "user", "content": "hello big world"}]


def client(url: str, key: str = "unused") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)


async def test_chat() -> None:
    """A whole answer is put together from the worker's stream, with its usage."""
    async with serving() as url, client(url) as api:
        answer = await api.chat.completions.create(model="words", messages=HELLO)
    assert answer.choices[0].message.content == "hello big world "
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.completion_tokens == 3
    assert answer.object == "chat.completion"
    assert answer.model == "words"


async def test_stream_with_usage() -> None:
    """A stream gives the deltas as they come, and the usage last when it is asked for."""
    async with serving() as url, client(url) as api:
        stream = await api.chat.completions.create(
            model="words", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello big world "
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 9
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


async def test_stream_without_usage() -> None:
    """Usage that was not asked for is not told."""
    async with serving() as url, client(url) as api:
        chunks = [
            chunk async for chunk in await api.chat.completions.create(model="words", messages=HELLO, stream=True)
        ]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_plain_text_worker() -> None:
    """A worker that yields text alone is a chat model too."""
    async with serving() as url, client(url) as api:
        answer = await api.chat.completions.create(model="plain", messages=HELLO)
        chunks = [
            chunk async for chunk in await api.chat.completions.create(model="plain", messages=HELLO, stream=True)
        ]
    assert answer.choices[0].message.content == "hello big world "
    assert answer.choices[0].finish_reason == "stop"
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_passed_through() -> None:
    """What the service does not know reaches the worker: tools, response format, sampling, members of other makers."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    Words.seen.clear()
    async with serving() as url, client(url) as api:
        await api.chat.completions.create(
            model="words",
            messages=HELLO,
            tools=[tool],
            tool_choice="auto",
            response_format={"type": "json_object"},
            stop=["x"],
            logprobs=True,
            top_logprobs=2,
            temperature=0.5,
            extra_body={"min_p": 0.1},
        )
    seen = Words.seen[-1]
    assert seen["tools"] == [tool]
    assert seen["response_format"] == {"type": "json_object"}
    assert (seen["stop"], seen["logprobs"], seen["top_logprobs"], seen["min_p"]) == (["x"], True, 2, 0.1)


async def test_completion_and_embeddings() -> None:
    """The two other kinds of models."""
    async with serving() as url, client(url) as api:
        answer = await api.completions.create(model="words", prompt="once upon")
        vectors = await api.embeddings.create(model="vectors", input=["one", "three"])
        floats = await api.embeddings.create(model="vectors", input="one", encoding_format="float")
    assert answer.choices[0].text == "once upon"
    assert answer.choices[0].finish_reason == "length"
    assert [item.embedding for item in vectors.data] == [[3.0, 0.5], [5.0, 0.5]]
    assert floats.data[0].embedding == [3.0, 0.5]
    assert vectors.usage.prompt_tokens == 3


async def test_models() -> None:
    """Only models whose worker is there are listed."""
    async with serving() as url, client(url) as api:
        found = [model.id async for model in api.models.list()]
        one = await api.models.retrieve("words")
        with pytest.raises(openai.NotFoundError):
            await api.models.retrieve("nobody")
    assert found == ["plain", "words", "vectors"]
    assert one.id == "words"


async def test_errors() -> None:
    """Failures arrive as the client's own classes, with code and member."""
    async with serving() as url, client(url) as api:
        with pytest.raises(openai.NotFoundError) as missing:
            await api.chat.completions.create(model="none", messages=HELLO)
        with pytest.raises(openai.NotFoundError) as other:
            await api.chat.completions.create(model="vectors", messages=HELLO)
        with pytest.raises(openai.BadRequestError) as wrong:
            await api.chat.completions.create(model="words", messages=HELLO, temperature=3)
        with pytest.raises(openai.APIStatusError) as absent:
            await api.chat.completions.create(model="nobody", messages=HELLO)
        with pytest.raises(openai.InternalServerError):
            await api.chat.completions.create(model="words", messages=[{"role": "user", "content": "break"}])
    assert missing.value.code == "model_not_found"
    assert "embedding" in other.value.message
    assert wrong.value.param == "temperature"
    assert absent.value.status_code == 503


async def test_stream_that_breaks() -> None:
    """An error in the middle of a stream is an error for the client, not a short answer."""
    async with serving() as url, client(url) as api:
        stream = await api.chat.completions.create(
            model="words", messages=[{"role": "user", "content": "a break b"}], stream=True
        )
        with pytest.raises(openai.APIError, match="broken at 1"):
            async for _ in stream:
                pass


async def test_client_that_leaves() -> None:
    """A client that goes away cancels the worker's generator, streaming or not."""
    Words.cancelled.clear()
    waiting = [{"role": "user", "content": "please wait here"}]
    async with serving() as url, client(url) as api:
        stream = await api.chat.completions.create(model="words", messages=waiting, stream=True)
        async for _ in stream:
            break
        await stream.close()
        Words.seen.clear()
        whole = asyncio.ensure_future(api.chat.completions.create(model="words", messages=waiting))
        await eventually(lambda: Words.seen)
        whole.cancel()
        await eventually(lambda: len(Words.cancelled) == 2)
    assert Words.cancelled == ["please wait here"] * 2


async def test_key() -> None:
    """With keys set, only those who have one are served; the health pages are open."""
    async with serving(access=Access(keys=["right", "also"])) as url:
        async with client(url, "wrong") as api:
            with pytest.raises(openai.AuthenticationError) as refused:
                await api.models.list()
        async with client(url, "also") as api:
            assert (await api.models.list()).data
        code, _ = await curl(f"{url}/health", "-o", "/dev/null", "-w", "%{http_code}")
        assert code == "200"
    assert refused.value.code == "invalid_api_key"


async def test_timeout() -> None:
    """A request may take no longer than the service allows."""
    async with serving(timeout=0.3) as url, client(url) as api:
        with pytest.raises(openai.APIStatusError) as late:
            await api.chat.completions.create(model="words", messages=[{"role": "user", "content": "wait"}])
    assert late.value.status_code == 504


@pytest.mark.filterwarnings("ignore")
async def test_langchain() -> None:
    """LangChain's client: whole, streamed, and embeddings."""
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    given = {"api_key": "unused", "max_retries": 0}
    async with serving() as url, httpx.AsyncClient() as web:  # its own one is never closed
        chat = ChatOpenAI(model="words", base_url=f"{url}/v1", http_async_client=web, **given)
        answer = await chat.ainvoke("hello big world")
        parts = [part.content async for part in chat.astream("hello big world")]
        embeddings = OpenAIEmbeddings(
            model="vectors", base_url=f"{url}/v1", http_async_client=web, check_embedding_ctx_length=False, **given
        )
        vector = await embeddings.aembed_query("four")
    assert answer.content == "hello big world "
    assert answer.usage_metadata["output_tokens"] == 3
    assert "".join(parts) == "hello big world "
    assert vector == [4.0, 0.5]


async def curl(*arguments: str, body: str = "") -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "20", *arguments, *(["-d", body] if body else []),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    return output.decode(), errors.decode()


async def test_curl() -> None:
    """What the documentation shows works as typed, and a stream ends with its mark."""
    request = {"model": "words", "messages": HELLO, "stream": True}
    async with serving() as url:
        text, _ = await curl(
            f"{url}/v1/chat/completions", "-N", "-H", "content-type: application/json", body=json.dumps(request)
        )
        whole, _ = await curl(f"{url}/v1/chat/completions", body=json.dumps({**request, "stream": False}))
        head, _ = await curl("-i", f"{url}/v1/chat/completions")
    events = [line for line in text.split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    assert all(event.startswith("data: ") for event in events)
    assert json.loads(whole)["choices"][0]["message"]["content"] == "hello big world "
    assert "405" in head and "allow: POST" in head
