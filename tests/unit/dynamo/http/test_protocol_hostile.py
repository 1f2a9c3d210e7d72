"""Requests from outside, whatever is in them: a right answer or a typed error, and never one that blames the service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamo.http.app import App
from dynamo.http.health import Health
from dynamo.rpc import call_context
from dynamo.sdk.graph import EndpointSpec, ServiceSpec


class Item(BaseModel):
    text: str
    number: int = 1
    more: Any = None


class Front:
    """Methods of each kind; each gives back what it was given."""

    async def text(self, text: str):
        return text

    async def anything(self, value):
        return {"value": value}

    async def item(self, item: Item):
        return item

    async def several(self, a: int, b: list[str], c: Any = None):
        return [a, b, c]

    async def free(self, **more):
        return more

    async def raw(self, data: bytes):
        return data

    async def items(self, item: Item):
        for _ in range(2):
            yield item


NAMES = tuple(name for name in vars(Front) if not name.startswith("_"))
APP = App(
    ServiceSpec(
        name="Front",
        module="m",
        qualname="Front",
        endpoints=tuple(EndpointSpec(name=name, method=name, transport="http") for name in NAMES),
        traffic={"max_body": 2000},
    ),
    Front(),
    Health("Front"),
)

keys = st.sampled_from(["text", "number", "more", "item", "value", "a", "b", "c", "data"]) | st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    values.map(json.dumps).map(str.encode),
    st.dictionaries(keys, values, max_size=4).map(json.dumps).map(str.encode),
    st.dictionaries(keys, values, max_size=3).map(lambda value: json.dumps(value).encode()[:-1]),
    st.text(max_size=20).map(lambda text: text.encode("utf-16")),
    st.integers(1, 1500).map(lambda deep: b"[" * deep),
    st.binary(max_size=60),
)
names = st.sampled_from([b"accept", b"x-request-id", b"traceparent", b"content-length", b"content-type"])
headers = st.lists(
    st.tuples(names | st.binary(max_size=8), st.binary(max_size=40) | st.just(b"text/event-stream")).map(
        lambda header: (header[0], header[1].translate(None, b"\r\n\0"))  # the parser before us lets none through
    ),
    max_size=6,
)
paths = st.sampled_from([f"/{name}" for name in NAMES]) | st.text(max_size=20).map(lambda text: f"/{text}")


@given(st.sampled_from(["POST", "GET", "BREW"]), paths, st.binary(max_size=40), headers, bodies, st.integers(0, 60))
def test_any_request(method, path, query, sent_headers, body, cut):
    """Whatever comes, the answer is whole: right, or an error with its code; 500 is none of them."""
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": sent_headers}
    parts = [{"type": "http.request", "body": body[:cut], "more_body": True}]
    parts += [{"type": "http.request", "body": body[cut:]}]
    sent: list[Any] = []

    async def receive() -> Any:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(APP(scope, receive, send))
    start, *rest = sent
    said = b"".join(part["body"] for part in rest)
    assert not rest[-1].get("more_body")
    assert start["status"] in (200, 400, 404, 405, 413, 503), said
    if start["status"] >= 400 and start["headers"][0] == (b"content-type", b"application/json"):
        assert "error" in json.loads(said) or path in ("/health", "/healthz", "/ready", "/readyz", "/live", "/livez")
    for name, value in start["headers"]:
        assert b"\r" not in value, name
        assert b"\n" not in value, name


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin-1")))
def test_any_trace(text):
    """A `traceparent` is taken or replaced by one of ours; what goes on is always one."""
    made = call_context.child_trace(text)
    version, trace, span, flags = made.split("-")
    assert (len(version), len(trace), len(span), len(flags)) == (2, 32, 16, 2)
    assert int(trace, 16)
    assert int(span, 16)
