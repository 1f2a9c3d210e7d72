"""A small OpenAI endpoint for tests of clients: says numbers, counts words as tokens, fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any


class OpenAiEndpoint:
    """`async with OpenAiEndpoint() as endpoint`: `endpoint.url`; `asked` holds the bodies. `fault` is what it does
    instead of answering: a status, `cut` in the middle, `error` as a chunk, `plain` without chunked encoding. It begins
    to answer when it was asked `together` times.
    """

    def __init__(self, delay: float = 0.0, fault: str = "", usage: bool = True, together: int = 0) -> None:
        self.delay, self.fault, self.usage, self.together = delay, fault, usage, together
        self._enough = asyncio.Event()
        self.asked: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self._known: set[str] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> OpenAiEndpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*filter(None, self._serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._answer(reader, writer))
        self._answering.add(task)
        self._serving.add(asyncio.current_task())
        try:
            await asyncio.wait([task])
        finally:
            self._answering.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._serving.discard(asyncio.current_task())

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
        asked = json.loads(await reader.readexactly(length))
        self.asked.append(asked)
        if len(self.asked) >= self.together:
            self._enough.set()
        await self._enough.wait()
        if self.fault.isdigit():
            writer.write(f"HTTP/1.1 {self.fault} No\r\nContent-Length: 15\r\n\r\nnot for you now".encode())
        else:
            chunked = self.fault != "plain"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n")
            for line in self._lines(asked):
                body = line.encode()
                writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n" if chunked else body)
                await writer.drain()
                await asyncio.sleep(self.delay)
            writer.write(b"0\r\n\r\n" if chunked and self.fault != "cut" else b"")
        await writer.drain()

    def _lines(self, asked: dict[str, Any]) -> list[str]:
        chat = "messages" in asked
        prompt = json.dumps(asked.get("messages", asked.get("prompt")))
        first = json.dumps(asked["messages"][0] if chat else asked["prompt"])
        cached = len(first.split()) if first in self._known else 0
        self._known.add(first)
        chunks: list[dict[str, Any]] = []
        for number in range(asked["max_tokens"]):
            word = f"w{number} "
            chunks.append({"choices": [{"index": 0, **({"delta": {"content": word}} if chat else {"text": word})}]})
        if self.fault == "error":
            chunks[2:] = [{"error": {"message": "the worker went away", "code": 503}}]
        if self.fault == "cut":
            return [_line(chunk) for chunk in chunks[:2]]
        if self.usage:
            usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": asked["max_tokens"]}
            chunks.append({"choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}}})
        return [*map(_line, chunks), "data: [DONE]\n\n"]


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
