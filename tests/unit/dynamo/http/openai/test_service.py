"""The service on the wire: what no well-behaved client sends, and what every answer has."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from dynamo.http.openai.access import Access
from dynamo.rpc.server import Method
from support.openai_service import Words, serving

CHAT = "/v1/chat/completions"


async def send(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
    """One request: status, headers, and the body as JSON where it is."""

    def ask() -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                text = answer.read()
                found = {name.lower(): value for name, value in answer.getheaders()}
                assert len(found) == len(answer.getheaders()), "a header comes twice"
                return answer.status, found, json.loads(text) if text and "json" in found["content-type"] else text
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", CHAT, b"{", 400, None),
        ("POST", CHAT, b"", 400, None),
        ("POST", CHAT, b"\xff\xfe{}", 400, None),
        ("POST", CHAT, b"[" * 200_000, 400, None),
        ("POST", CHAT, b'{"model": 5, "messages": []}', 400, None),
        ("POST", CHAT, b'{"model": "none", "messages": [{"role": "user", "content": "x"}]}', 404, "model_not_found"),
        ("POST", CHAT, b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 503, "unavailable"),
        ("POST", "/v1/embeddings", b'{"model": "words", "input": "x"}', 404, None),
        ("GET", CHAT, b"", 405, None),
        ("POST", "/v1/models", b"", 405, None),
        ("GET", "/v1/models/none", b"", 404, "model_not_found"),
        ("GET", "/v2", b"", 404, "unknown_url"),
    ],
)
async def test_refusals(method: str, path: str, body: bytes, status: int, code: str | None) -> None:
    """Every refusal is an error object of OpenAI's form, with a request id."""
    async with serving() as url:
        found, headers, answer = await send(url, method, path, body)
    assert (found, answer["error"]["code"]) == (status, code)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert headers["x-request-id"]
    assert (headers.get("allow") is not None) == (status == 405)


async def test_huge() -> None:
    """A prompt of 20 MB is served; a body over the limit is refused without being kept."""
    body = {"model": "plain", "messages": [{"role": "user", "content": "w " * 10}], "pad": "x" * 20_000_000}
    async with serving() as url:
        status, _, answer = await send(url, "POST", CHAT, json.dumps(body).encode())
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "w " * 10)
        status, _, answer = await send(url, "POST", CHAT, b'{"pad": "' + b"x" * (65 << 20) + b'"}')
        assert status == 413
        assert "larger" in answer["error"]["message"]


async def test_pages_and_metrics() -> None:
    """Health pages need no key, and metrics count by route and outcome."""
    async with serving(access=Access(keys=["k"])) as url:
        assert (await send(url, "GET", "/health"))[0] == 200
        assert (await send(url, "GET", "/live"))[0] == 200
        await send(url, "GET", "/v1/models", authorization="Bearer k")
        await send(url, "POST", CHAT, b"{", authorization="Bearer k")
        status, _, text = await send(url, "GET", "/metrics")
    assert status == 200
    lines = text.decode().splitlines()
    assert any(line.startswith('dynamo_requests_total{endpoint="/v1/models",outcome="ok"') for line in lines)
    assert any('endpoint="/v1/chat/completions",outcome="invalid_request_error"' in line for line in lines)


async def test_other_origins() -> None:
    """A browser of an allowed origin may ask and read, with a key; others get no header that lets them."""
    access = Access(keys=["k"], origins=["https://a.example"])
    async with serving(access=access) as url:
        wanted = {"origin": "https://a.example", "access-control-request-headers": "authorization,x-stainless-os"}
        status, headers, _ = await send(url, "OPTIONS", CHAT, **wanted)
        assert (status, headers["access-control-allow-origin"]) == (204, "https://a.example")
        assert headers["access-control-allow-headers"] == "authorization,x-stainless-os"
        assert "content-length" not in headers
        status, headers, _ = await send(url, "OPTIONS", CHAT, origin="https://b.example")
        assert (status, [name for name in headers if name.startswith("access-control")]) == (204, [])
        status, headers, _ = await send(url, "GET", "/v1/models", origin="https://a.example")
        assert (status, headers["access-control-allow-origin"]) == (401, "https://a.example")
        _, headers, _ = await send(url, "GET", "/v1/models", origin="https://b.example")
        assert "access-control-allow-origin" not in headers


async def test_request_id() -> None:
    """A client's request id comes back."""
    async with serving() as url:
        _, headers, _ = await send(url, "GET", "/v1/models", **{"x-request-id": "mine"})
    assert headers["x-request-id"] == "mine"


async def test_own_endpoints() -> None:
    """An endpoint of the service's own process is called without a network, whether it streams or not."""
    words = Words.inner()
    own = {
        "test.Words.chat/completions": Method("chat", words.chat),
        "test.Words.embed": Method("embed", words.embed),
        "test.Absent.generate": Method("plain", words.plain),
    }
    said = {"messages": [{"role": "user", "content": "one two"}]}
    async with serving(own=own) as url:
        for model in ("words", "nobody"):  # of the second one no worker is registered
            status, _, answer = await send(url, "POST", CHAT, json.dumps({"model": model, **said}).encode())
            assert (status, answer["choices"][0]["message"]["content"]) == (200, "one two ")
        status, _, answer = await send(url, "POST", "/v1/embeddings", b'{"model": "vectors", "input": "abc"}')
        assert (status, answer["data"][0]["embedding"]) == (200, [3.0, 0.5])
        broken = {"model": "words", "messages": [{"role": "user", "content": "a break b"}]}
        status, _, answer = await send(url, "POST", CHAT, json.dumps(broken).encode())
        assert (status, answer["error"]["type"]) == (500, "server_error")
