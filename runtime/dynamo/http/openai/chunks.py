"""Items of a worker, as chunks of an OpenAI stream: OpenAI objects, their JSON, ready events, or plain text."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from dynamo.http.openai.error_body import Failure
from dynamo.messages import payload

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
DONE = b"data: [DONE]\n\n"
OBJECTS = {"chat": "chat.completion.chunk", "completion": "text_completion"}
_PREFIXES = {"chat": "chatcmpl-", "completion": "cmpl-", "embedding": "embd-"}


def format_event(value: Any) -> bytes:
    """A value as one server-sent event."""
    return b"data: " + _encode(value) + b"\n\n"


class Chunks:
    """The chunks of one answer, all with the same id; how much was used is told once, at the end, where it is asked."""

    def __init__(self, kind: str, model: str, usage: bool) -> None:
        self.kind = kind
        self.model = model
        self.id = _PREFIXES[kind] + secrets.token_hex(12)
        self.created = int(time.time())
        self._usage = usage
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._used: Any = None

    def convert_item(self, item: Any) -> list[dict[str, Any]]:
        """The chunks that an item stands for; none for a mark of the end. Raises Failure for what is no part."""
        if isinstance(item, dict):
            return self._convert_object(item)
        if isinstance(item, str):
            return self._convert_text(item)
        if isinstance(item, bytes):
            return self._convert_text(item.decode(errors="replace"))
        if item is None:
            return []
        plain = payload.decode(payload.encode(item))  # of this process, so nobody made plain data of it yet
        return self._convert_object(plain) if type(plain) is dict else self._convert_text(str(plain))

    def finish_chunks(self) -> Iterator[dict[str, Any]]:
        """The end: a reason for each choice to which the worker gave none, and what was used."""
        for index in sorted(self._begun - self._finished) or ([] if self._finished else [0]):
            yield self._build_chunk(self._build_choice(index, "", "stop"))
        if self._usage and self._used:
            yield self._add_header({"choices": [], "usage": self._used})

    def _convert_text(self, text: str) -> list[dict[str, Any]]:
        if text.startswith("data:"):
            lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
            return [chunk for line in lines if line != "[DONE]" for chunk in self._convert_json(line)]
        if text.startswith("{"):
            return self._convert_json(text)
        return [self._build_chunk(self._build_choice(0, text, None))]

    def _convert_json(self, text: str) -> list[dict[str, Any]]:
        try:
            value = _decode(text)
        except (msgspec.DecodeError, RecursionError):
            value = text
        if type(value) is dict and ("choices" in value or "error" in value or "data" in value):
            return self._convert_object(value)
        return [self._build_chunk(self._build_choice(0, text, None))]

    def _convert_object(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        choices = value.get("choices")
        if type(choices) is list:
            return self._convert_choices(value, choices)
        if value.get("error") is not None:
            raise _build_failure(value["error"])
        if "data" in value:  # an item with annotations around it
            return self.convert_item(value["data"])
        if isinstance(value.get("text"), str):
            return [self._build_chunk(self._build_choice(0, value["text"], None))]
        if "usage" in value:
            self._used = value["usage"]
            return []
        given = ", ".join(map(repr, value)) or "nothing"
        message = f"the worker of `{self.model}` gave {given}, not a part of an answer"
        raise Failure(message, status=502, kind="api_error")

    def _convert_choices(self, value: dict[str, Any], choices: list[Any]) -> list[dict[str, Any]]:
        self._used = value.pop("usage", None) or self._used
        if not choices:
            return []
        for choice in choices:
            if type(choice) is not dict:
                raise Failure(f"the worker of `{self.model}` returned a choice that is not an object", status=502)
            message = choice.pop("message", None)
            if message is not None:
                choice["delta"] = _build_delta(message)
            index = choice.setdefault("index", 0)
            if self.kind == "chat" and index not in self._begun:
                choice.setdefault("delta", {}).setdefault("role", "assistant")
            self._begun.add(index)
            if choice.get("finish_reason"):
                self._finished.add(index)
        return [self._add_header(value)]

    def _add_header(self, value: dict[str, Any]) -> dict[str, Any]:
        value["id"] = self.id
        value["object"] = OBJECTS[self.kind]
        value["created"] = self.created
        value["model"] = self.model
        return value

    def _build_chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return self._add_header({"choices": [choice]})

    def _build_choice(self, index: int, text: str, reason: str | None) -> dict[str, Any]:
        if reason:
            self._finished.add(index)
        if self.kind == "completion":
            self._begun.add(index)
            return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
        delta: dict[str, Any] = {"content": text} if text or not reason else {}
        if index not in self._begun:
            delta["role"] = "assistant"
            self._begun.add(index)
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _build_delta(message: Any) -> dict[str, Any]:
    delta = dict(message) if isinstance(message, dict) else {"content": str(message)}
    calls = delta.get("tool_calls")
    if calls:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return delta


def _build_failure(error: Any) -> Failure:
    if not isinstance(error, dict):
        return Failure(str(error), status=500, kind="server_error")
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    kind = "invalid_request_error" if status < 500 else "server_error"
    return Failure(
        str(error.get("message", "the worker failed")),
        status=status,
        kind=str(error.get("type") or kind),
        code=code if isinstance(code, str) else "",
        param=str(error.get("param") or ""),
    )
