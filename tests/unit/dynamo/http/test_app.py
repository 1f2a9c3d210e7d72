"""The HTTP front, called as the ASGI application it is."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from dynamo.http.app import App, StreamBroken
from dynamo.http.health import Health
from dynamo.sdk.errors import Unavailable
from dynamo.sdk.graph import EndpointSpec, ServiceSpec


class Item(BaseModel):
    text: str
    number: int = 1


class Front:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def words(self, text):
        for word in text.split():
            yield word

    async def models(self, item: Item):
        for number in range(item.number):
            yield Item(text=item.text, number=number)

    async def value(self, item: Item):
        return item

    async def two(self, prompt, request_id: str = "none"):
        return f"{prompt} {request_id}"

    async def raw(self, text):
        yield b"\x00"
        yield b"\x01"

    async def events(self, text):
        yield "event: x\ndata: 1\n\n"

    async def broken(self, text):
        raise KeyError("oops")

    async def breaks(self, text):
        yield "one"
        raise KeyError("oops")

    async def away(self, text):
        raise Unavailable("nobody is there")

    async def nothing(self):
        return None

    async def empty(self):
        for _ in ():
            yield _

    async def slow(self):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def plain(self, text: str):
        return {"text": text}


NAMES = [name for name in vars(Front) if not name.startswith("_")]


def app(front: Front | None = None, **traffic: Any) -> App:
    endpoints = tuple(EndpointSpec(name=name, method=name, transport="http") for name in NAMES)
    endpoints += (EndpointSpec(name="chat/get", method="two", transport="http", http_method="GET"),)
    spec = ServiceSpec(name="Front", module="m", qualname="Front", endpoints=endpoints, traffic=traffic)
    health = Health("Front", liveness=[lambda: True], readiness=[lambda: front is None])
    health.started = True
    return App(spec, front or Front(), health)


async def call(
    application: App, path: str, body: Any = b"", method: str = "POST", leave: bool = False, **headers: str
) -> Any:
    path, _, query = path.partition("?")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    messages = [
        {"type": "http.request", "body": data[:3], "more_body": True},
        {"type": "http.request", "body": data[3:]},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(0.02 if leave else 60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    broken = False
    try:
        await application(scope, receive, send)
    except StreamBroken:
        broken = True
    start = sent[0] if sent else {"status": 0, "headers": []}
    return SimpleNamespace(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(item.get("body", b"") for item in sent[1:]),
        whole=bool(sent) and not sent[-1].get("more_body", False),
        broken=broken,
    )


@pytest.mark.parametrize(
    ("path", "body", "accept", "kind", "wanted"),
    [
        ("/words", {"text": "a b"}, "", "text/plain; charset=utf-8", b"a\nb\n"),
        ("/words", {"text": "a b"}, "text/event-stream", "text/event-stream", b"data: a\n\ndata: b\n\n"),
        ("/words?text=c", b"", "", "text/plain; charset=utf-8", b"c\n"),
        (
            "/models",
            {"text": "a", "number": 2},
            "",
            "application/x-ndjson",
            b'{"text":"a","number":0}\n{"text":"a","number":1}\n',
        ),
        ("/models", {"text": "a"}, "text/event-stream", "text/event-stream", b'data: {"text":"a","number":0}\n\n'),
        ("/value", {"text": "a"}, "", "application/json", b'{"text":"a","number":1}'),
        ("/value", {"item": {"text": "a"}}, "", "application/json", b'{"text":"a","number":1}'),
        ("/two", {"prompt": "p", "request_id": "r"}, "", "text/plain; charset=utf-8", b"p r"),
        ("/raw", {"text": "a"}, "", "application/octet-stream", b"\x00\x01"),
        ("/events", {"text": "a"}, "", "text/event-stream", b"event: x\ndata: 1\n\n"),
        ("/nothing", b"", "", "application/json", b"null"),
        ("/empty", b"", "", "text/plain; charset=utf-8", b""),
        ("/plain", {"text": "a"}, "", "application/json", b'{"text":"a"}'),
    ],
)
async def test_answers(path, body, accept, kind, wanted):
    """What a method gives becomes the body, in the form that the client accepts."""
    answer = await call(app(), path, body, accept=accept)
    assert (answer.status, answer.headers["content-type"], answer.body, answer.whole) == (200, kind, wanted, True)
    assert answer.headers["x-request-id"]


async def test_get():
    """A route of another HTTP method takes its arguments from the query."""
    assert (await call(app(), "/chat/get?prompt=p", method="GET")).body == b"p none"
    refused = await call(app(), "/chat/get")
    assert (refused.status, refused.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        ("/words", b"not json", 400, "bad_request", "not JSON"),
        ("/words", {"txt": "a"}, 400, "bad_request", "missing `text`"),
        ("/words", [1], 400, "bad_request", "an object"),
        ("/value", {"number": "x"}, 400, "bad_request", "`text`"),
        ("/broken", {"text": "a"}, 500, "internal", "KeyError"),
        ("/away", {"text": "a"}, 503, "unavailable", "nobody is there"),
        ("/other", b"", 404, "not_found", "`/words`"),
    ],
)
async def test_errors(path, body, status, code, message):
    """An error is JSON with its code and a status of its own."""
    answer = await call(app(), path, body)
    assert answer.status == status
    error = json.loads(answer.body)["error"]
    assert error["code"] == code
    assert message in error["message"]


@pytest.mark.parametrize("accept", ["", "text/event-stream"])
async def test_an_error_in_mid_stream(accept):
    """A stream that fails says so and is cut, so that nobody takes it for whole."""
    answer = await call(app(), "/breaks", {"text": "a"}, accept=accept)
    assert answer.status == 200
    assert b"one" in answer.body
    assert b"KeyError" in answer.body
    assert answer.broken
    assert not answer.whole


async def test_timeout():
    """The service's `traffic` timeout is a 504."""
    answer = await call(app(timeout=0.05), "/slow")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (504, "deadline")


async def test_a_client_that_leaves_cancels_the_work():
    """The method is cancelled when its client is gone."""
    front = Front()
    await call(app(front), "/slow", leave=True)
    assert front.cancelled.is_set()


async def test_pages():
    """Health, metrics and the OpenAPI document are there."""
    application = app()
    await call(application, "/words", {"text": "a"})
    assert (await call(application, "/live", method="GET")).status == 200
    assert (await call(application, "/health", method="GET")).status == 200
    assert (await call(app(Front()), "/health", method="GET")).status == 503
    assert b'endpoint="/words",outcome="ok"' in (await call(application, "/metrics", method="GET")).body
    document = json.loads((await call(application, "/openapi.json", method="GET")).body)
    assert "post" in document["paths"]["/words"]
