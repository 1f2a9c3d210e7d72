"""What workers yield, as OpenAI's chunks and whole answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from dynamo.http.openai.chunks import Chunks
from dynamo.http.openai.error_body import Failure
from dynamo.http.openai.whole import Whole


def whole(items: list[Any], kind: str = "chat") -> dict[str, Any]:
    chunks, answer = Chunks(kind, "m", usage=True), Whole(kind)
    for item in items:
        for chunk in chunks.convert_item(item):
            answer.add_chunk(chunk)
    for chunk in chunks.finish_chunks():
        answer.add_chunk(chunk)
    return answer.build_answer()


def text_of(items: list[Any]) -> str:
    return whole(items)["choices"][0]["message"]["content"]


CHUNK = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}


class Text(BaseModel):
    text: str


@pytest.mark.parametrize(
    "item",
    [
        "a",
        b"a",
        {"text": "a"},
        CHUNK,
        json.dumps(CHUNK),
        f"data: {json.dumps(CHUNK)}\n\n",
        f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n",
        {"data": CHUNK, "event": None},
        Text(text="a"),
        {"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]},
    ],
)
def test_forms(item: Any) -> None:
    """Every form that workers use means the same."""
    item = json.loads(json.dumps(item)) if isinstance(item, dict) else item
    assert text_of([item]) == "a"


def test_text_that_looks_like_json() -> None:
    """A model that writes JSON as text is not taken for one that speaks OpenAI's form."""
    assert text_of(['{"name": "x"}']) == '{"name": "x"}'
    assert text_of(["{", '"a": 1}']) == '{"a": 1}'


def test_tool_calls() -> None:
    """The arguments of calls come in parts and are joined, several calls apart."""

    def part(index: int, **function: str) -> dict[str, Any]:
        call: dict[str, Any] = {"index": index, "function": function}
        if "name" in function:
            call.update(id=f"call_{index}", type="function")
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    items = [
        part(0, name="f", arguments=""),
        part(0, arguments='{"a"'),
        part(1, name="g", arguments="{}"),
        part(0, arguments=":1}"),
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    message = whole([*items, end])["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "f", "arguments": '{"a":1}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert [call["id"] for call in message["tool_calls"]] == ["call_0", "call_1"]
    assert all("index" not in call for call in message["tool_calls"])


def test_logprobs_and_choices() -> None:
    """Log probabilities are joined in order, choices kept apart."""

    def part(index: int, text: str) -> dict[str, Any]:
        logprobs = {"content": [{"token": text, "logprob": -1.0, "bytes": None, "top_logprobs": []}]}
        return {"choices": [{"index": index, "delta": {"content": text}, "logprobs": logprobs}]}

    answer = whole([part(1, "x"), part(0, "a"), part(1, "y"), part(0, "b")])
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["ab", "xy"]
    assert [item["token"] for item in answer["choices"][1]["logprobs"]["content"]] == ["x", "y"]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "stop"]


def test_completion() -> None:
    """Completions have texts instead of messages."""
    answer = whole(["a", {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]}], "completion")
    assert answer["choices"] == [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "length"}]
    assert answer["object"] == "text_completion"


def test_reasoning_is_kept() -> None:
    """Members that OpenAI does not have are joined when they are text."""
    items = [{"choices": [{"delta": {"reasoning_content": part}}]} for part in ("one ", "two")]
    assert whole(items)["choices"][0]["message"]["reasoning_content"] == "one two"


def test_nothing() -> None:
    """A worker that yields nothing gave an empty answer."""
    assert whole([])["choices"][0]["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_errors() -> None:
    """An error that a worker yields, and an item that is none, are failures."""
    for item, status in (
        ({"error": {"message": "m", "code": 400}}, 400),
        ({"error": "m"}, 500),
        ('{"error": {"message": "m"}}', 500),
        ({"other": 1}, 502),
        ({"choices": ["x"]}, 502),
    ):
        with pytest.raises(Failure) as failure:
            whole([item])
        assert failure.value.status == status
