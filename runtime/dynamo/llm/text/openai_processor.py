"""OpenAI's requests answered by an engine that knows only tokens: what a Processor service is made of."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.llm.text.postprocessor import Piece, Postprocessor
from dynamo.llm.text.preprocessor import Prepared, Preprocessor
from dynamo.sdk.errors import Unavailable

_LONG = 20_000
Generate: TypeAlias = Callable[[EngineRequest], AsyncGenerator[EngineStep, None]]
Prepare: TypeAlias = Callable[[Mapping[str, Any], str], tuple[Prepared, ...]]
Form: TypeAlias = Callable[[int, Piece, bool], dict[str, Any]]


class OpenAIProcessor:
    """The five steps: take a request, make tokens of it, ask an engine, make text of its tokens, answer in chunks.

    `generate` asks the engine: a worker's own, a client's, or `RoutedClient.generate`.
    """

    def __init__(self, preprocessor: Preprocessor, generate: Generate) -> None:
        self._preprocessor = preprocessor
        self._generate = generate

    def chat(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a chat completion. Raises BadRequest, and what the engine raises."""
        return self._stream_chunks(
            "chatcmpl-", "chat.completion.chunk", request, self._preprocessor.prepare_chat, _chat_choice
        )

    def completions(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a completion. Raises as `chat` does."""
        return self._stream_chunks(
            "cmpl-", "text_completion", request, self._preprocessor.prepare_completion, _text_choice
        )

    async def _stream_chunks(
        self, prefix: str, kind: str, request: Mapping[str, Any], prepare: Prepare, form: Form
    ) -> AsyncGenerator[dict[str, Any], None]:
        name = prefix + secrets.token_hex(12)
        choices = await _prepare_choices(prepare, request, name)
        head = {"id": name, "object": kind, "created": int(time.time()), "model": request.get("model", "")}
        texts = [Postprocessor(self._preprocessor.files.tokenizer, choice) for choice in choices]
        begun = [False] * len(choices)
        for choice in choices:
            if choice.echo:
                yield {**head, "choices": [form(choice.index, Piece(choice.echo), not begun[choice.index])]}
                begun[choice.index] = True
        streams = [self._stream_pieces(choice, text) for choice, text in zip(choices, texts, strict=True)]
        merged = streams[0] if len(streams) == 1 else _merge_streams(streams)
        async with contextlib.aclosing(merged) as pieces:
            async for index, piece in pieces:
                if piece.text or piece.finish_reason or piece.logprobs or not begun[index]:
                    yield {**head, "choices": [form(index, piece, not begun[index])]}
                    begun[index] = True
        prompts = {id(choice.request.tokens): len(choice.request.tokens) for choice in choices}
        prompt, made = sum(prompts.values()), sum(text.made for text in texts)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": made,
            "total_tokens": prompt + made,
            "prompt_tokens_details": {"cached_tokens": max(text.cached for text in texts)},
        }
        yield {**head, "choices": [], "usage": usage}

    async def _stream_pieces(self, choice: Prepared, text: Postprocessor) -> AsyncGenerator[tuple[int, Piece], None]:
        async with contextlib.aclosing(self._generate(choice.request)) as steps:
            async for step in steps:
                yield choice.index, text.add_step(step)
                if text.finished:
                    return
        raise Unavailable("the answer ended before it was complete")


async def _prepare_choices(prepare: Prepare, request: Mapping[str, Any], name: str) -> tuple[Prepared, ...]:
    """The choices; of a long prompt in a thread, so that it does not hold up the others."""
    messages = request.get("messages")
    turns = messages if isinstance(messages, list) else []
    texts = [request.get("prompt"), *(turn.get("content") for turn in turns if isinstance(turn, Mapping))]
    if sum(len(text) for text in texts if isinstance(text, (str, list))) < _LONG:
        return prepare(request, name)
    return await asyncio.to_thread(prepare, request, name)


async def _merge_streams(
    streams: Sequence[AsyncGenerator[tuple[int, Piece], None]],
) -> AsyncGenerator[tuple[int, Piece], None]:
    """The items of all streams as they come. Raises what the first that fails raises."""
    queue: asyncio.Queue[tuple[int, Piece] | None] = asyncio.Queue()

    async def drain(stream: AsyncGenerator[tuple[int, Piece], None]) -> None:
        try:
            async with contextlib.aclosing(stream) as items:
                async for item in items:
                    queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.ensure_future(drain(stream)) for stream in streams]
    try:
        running = len(tasks)
        while running:
            found = await queue.get()
            if found is not None:
                yield found
                continue
            running -= 1
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    await task
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _chat_choice(index: int, piece: Piece, first: bool) -> dict[str, Any]:
    delta: dict[str, Any] = {"role": "assistant", "content": piece.text} if first else {"content": piece.text}
    if piece.finish_reason and not piece.text and not first:
        delta = {}
    logprobs = {"content": piece.logprobs, "refusal": None} if piece.logprobs is not None else None
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": piece.finish_reason}


def _text_choice(index: int, piece: Piece, first: bool) -> dict[str, Any]:
    logprobs = None
    if piece.logprobs is not None:
        logprobs = {
            "tokens": [item["token"] for item in piece.logprobs],
            "token_logprobs": [item["logprob"] for item in piece.logprobs],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in item["top_logprobs"]} for item in piece.logprobs
            ],
        }
    return {"index": index, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish_reason}
