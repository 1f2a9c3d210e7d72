"""One streamed request to an OpenAI endpoint, with the time of each piece: a client that adds little of its own."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

MOST_LINE_BYTES = 1 << 20


class RequestFailed(Exception):
    """The endpoint refused, broke off, or could not be reached."""


@dataclass(slots=True)
class Measured:
    """What was seen of one request. Times are seconds; `begun` is on the clock of the whole run."""

    begun: float = 0.0
    first: float = 0.0
    total: float = 0.0
    gaps: list[float] = field(default_factory=list)
    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    output_tokens: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go: the address up to `/v1`, and what else every request carries."""

    url: str
    model: str
    chat: bool = True
    key: str = ""
    timeout: float = 300.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of the route."""
        prefix = urlsplit(self.url).path.rstrip("/").removesuffix("/v1")
        return f"{prefix}/v1/{'chat/completions' if self.chat else 'completions'}"

    def build_body(self, messages: list[dict[str, str]], max_tokens: int) -> bytes:
        """A request as JSON."""
        asked: dict[str, Any] = {
            "model": self.model,
            "max_tokens": max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.extra,
        }
        if self.chat:
            asked["messages"] = messages
        else:
            asked["prompt"] = "\n".join(message["content"] for message in messages)
        return json.dumps(asked, ensure_ascii=False).encode()


async def send_request(endpoint: Endpoint, messages: list[dict[str, str]], max_tokens: int) -> Measured:
    """Send a request and read its answer to the end; a failure is in `problem`."""
    found = Measured()
    start = perf_counter()
    try:
        async with asyncio.timeout(endpoint.timeout):
            last = 0.0
            async for data in _stream_events(endpoint, endpoint.build_body(messages, max_tokens)):
                now = perf_counter() - start
                piece = _read_piece(data, found)
                if piece is None:
                    continue
                found.text += piece
                if last:
                    found.gaps.append(now - last)
                else:
                    found.first = now
                last = now
    except TimeoutError:
        found.problem = f"no complete answer within {endpoint.timeout:g} s"
    except (RequestFailed, OSError, ValueError, asyncio.IncompleteReadError) as error:
        found.problem = str(error) or type(error).__name__
    found.total = perf_counter() - start
    if not found.problem and not found.first:
        found.problem = "the answer was empty"
    return found


def _read_piece(data: str, found: Measured) -> str | None:
    """The text of a chunk, None when it has none; usage is noted."""
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise RequestFailed("a chunk is not an object")
    if chunk.get("error"):
        error = chunk["error"]
        raise RequestFailed(str(error.get("message", error) if isinstance(error, dict) else error))
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        found.prompt_tokens = int(usage.get("prompt_tokens") or 0)
        found.output_tokens = int(usage.get("completion_tokens") or 0)
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and details.get("cached_tokens") is not None:
            found.cached_tokens = int(details["cached_tokens"])
    choices = chunk.get("choices")
    if not choices:
        return None
    choice = choices[0]
    text = choice.get("text") if "text" in choice else (choice.get("delta") or {}).get("content")
    return text if isinstance(text, str) and text else None


async def _stream_events(endpoint: Endpoint, body: bytes) -> AsyncIterator[str]:
    """The data of server-sent events, up to `[DONE]`."""
    parts = urlsplit(endpoint.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestFailed(f"`{endpoint.url}` is not an http address")
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure, limit=MOST_LINE_BYTES)
    try:
        writer.write(_format_head(endpoint, parts.netloc.rpartition("@")[2], len(body)) + body)
        await writer.drain()
        status, chunked = await _read_head(reader)
        lines = _read_lines(reader, chunked)
        if status != 200:
            text = "".join([line async for line in lines])[:300]
            raise RequestFailed(f"{status}: {text}")
        async for line in lines:
            if line.startswith("data:"):
                data = line[5:].strip()
                if data == "[DONE]":
                    return
                yield data
        raise RequestFailed("the answer ended before it was complete")
    finally:
        writer.close()


def _format_head(endpoint: Endpoint, host: str, length: int) -> bytes:
    lines = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        "Connection: close",
        f"Content-Length: {length}",
    ]
    if endpoint.key:
        lines.append(f"Authorization: Bearer {endpoint.key}")
    return "\r\n".join([*lines, "", ""]).encode()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the body comes in chunks."""
    first = (await reader.readline()).split()
    if len(first) < 2 or not first[0].startswith(b"HTTP/1."):
        raise RequestFailed("the answer is not HTTP")
    chunked = False
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        chunked |= name.lower() == "transfer-encoding" and "chunked" in value.lower()
    return int(first[1]), chunked


async def _read_lines(reader: asyncio.StreamReader, chunked: bool) -> AsyncIterator[str]:
    left = b""
    async for part in _read_parts(reader, chunked):
        *whole, left = (left + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    if left:
        yield left.decode(errors="replace")


async def _read_parts(reader: asyncio.StreamReader, chunked: bool) -> AsyncIterator[bytes]:
    while True:
        if not chunked:
            part = await reader.read(1 << 16)
        else:
            size = int((await reader.readline()).split(b";")[0], 16)
            part = (await reader.readexactly(size + 2))[:-2]
        if not part:
            return
        yield part
