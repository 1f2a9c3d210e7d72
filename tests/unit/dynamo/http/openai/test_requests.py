"""What is refused before a worker hears of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.http.openai.error_body import Failure
from dynamo.http.openai.requests import parse_request

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def body(**members: object) -> bytes:
    return json.dumps({**CHAT, **members}).encode()


def test_unchanged() -> None:
    """A request reaches the worker as it was written, unknown members included."""
    request = {**CHAT, "x_other": {"a": [1, 2.5, None]}, "temperature": 1, "stop": ["a"]}
    assert parse_request("chat", json.dumps(request).encode()) == request


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 1}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"logit_bias": {"5": 200}}, "logit_bias[...]"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"-5": 1}}, "logit_bias"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 1 << 63}, "seed"),
        ({"seed": 99999999999999999999}, "seed"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"tools": {}}, "tools"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
    ],
)
def test_wrong_member(members: dict[str, object], param: str) -> None:
    """A wrong type or range is refused with the member's name."""
    with pytest.raises(Failure) as refused:
        parse_request("chat", body(**members))
    assert refused.value.status == 400
    assert refused.value.param == param
    assert json.loads(refused.value.body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"model": "m",}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'"text"',
        b"[]",
        b"NaN",
    ],
)
def test_not_json(text: bytes) -> None:
    """What is not JSON, or no object, is refused in the same form."""
    with pytest.raises(Failure) as refused:
        parse_request("chat", text)
    assert refused.value.status == 400


def test_missing_members() -> None:
    """A missing member is named."""
    with pytest.raises(Failure) as refused:
        parse_request("chat", b'{"model": "m"}')
    assert refused.value.param == "messages"


@pytest.mark.parametrize("prompt", ["a", "", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_prompts(prompt: object) -> None:
    """All four forms of prompts are taken."""
    assert parse_request("completion", json.dumps({"model": "m", "prompt": prompt}).encode())["prompt"] == prompt


@pytest.mark.parametrize("prompt", [None, [], ["a", 1], [1, [2]], [-1], [1 << 40], {"a": 1}])
def test_wrong_prompts(prompt: object) -> None:
    """Mixed, empty and impossible prompts are refused."""
    with pytest.raises(Failure):
        parse_request("completion", json.dumps({"model": "m", "prompt": prompt}).encode())


def test_huge_prompt() -> None:
    """Ten megabytes of prompt are a request like any other."""
    text = "word " * 2_000_000
    assert parse_request("chat", body(messages=[{"role": "user", "content": text}]))["messages"][0]["content"] == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["chat", "completion", "embedding"]),
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "messages",
                "prompt",
                "input",
                "n",
                "stop",
                "tools",
                "stream",
                "stream_options",
                "encoding_format",
            ]
        ),
        json_values,
    ),
)
def test_any_json(kind: str, request: dict[str, object]) -> None:
    """Any JSON object is either passed unchanged or refused with 400."""
    try:
        assert parse_request(kind, json.dumps(request).encode()) == request
    except Failure as failure:
        assert failure.status == 400
