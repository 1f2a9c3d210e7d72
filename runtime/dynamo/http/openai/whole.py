"""The chunks of a stream put together into the one answer of a request that does not stream."""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any

from dynamo.http.openai.error_body import Failure


class Whole:
    """An answer that grows chunk by chunk. Source: the two answer objects of OpenAI's API reference."""

    def __init__(self, kind: str) -> None:
        self._chat = kind == "chat"
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._usage: Any = None

    def add_chunk(self, chunk: dict[str, Any]) -> None:
        """Take one chunk."""
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for part in chunk["choices"]:
            index = part.get("index", 0)
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = {"index": index, "text": [], "logprobs": None, "finish_reason": None}
            self._extend_choice(choice, part)
        self._head.update((name, value) for name, value in chunk.items() if name not in ("choices", "usage"))

    def build_answer(self) -> dict[str, Any]:
        """The answer so far."""
        self._head["object"] = "chat.completion" if self._chat else "text_completion"
        choices = [self._chat_choice(choice) if self._chat else _text_choice(choice) for choice in self._sort_choices()]
        return {**self._head, "choices": choices, "usage": self._usage}

    def _sort_choices(self) -> list[dict[str, Any]]:
        return [choice for _, choice in sorted(self._choices.items())]

    def _extend_choice(self, choice: dict[str, Any], part: dict[str, Any]) -> None:
        if self._chat:
            _grow_message(choice.setdefault("message", {}), part.get("delta") or {}, choice["text"])
        else:
            choice["text"].append(part.get("text") or "")
        if part.get("logprobs"):
            choice["logprobs"] = _merge_logprobs(choice["logprobs"], part["logprobs"])
        for name, value in part.items():
            if name not in ("index", "delta", "text", "logprobs") and value is not None:
                choice[name] = value

    def _chat_choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        text, message = choice.pop("text"), choice.pop("message", {})
        message.setdefault("role", "assistant")
        message["content"] = "".join(text) if text or not message.get("tool_calls") else None
        message.setdefault("refusal", None)
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
        return {"index": choice.pop("index"), "message": message, **choice}


def _text_choice(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "text": "".join(choice["text"])}


def _grow_message(message: dict[str, Any], delta: dict[str, Any], text: list[str]) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        if name == "content":
            if isinstance(value, str) and value:
                text.append(value)
        elif name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for part in value:
                _grow_call(calls, part)
        elif name != "role" and isinstance(value, str) and isinstance(message.get(name), str):
            message[name] += value
        else:
            message[name] = value


def _grow_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    index = part.get("index", len(calls))
    call = next((known for known in calls if known["index"] == index), None)
    if call is None:
        calls.append({**part, "index": index, "function": dict(part.get("function") or {})})
        return
    for name, value in (part.get("function") or {}).items():
        known = call["function"].get(name)
        call["function"][name] = known + value if isinstance(known, str) and isinstance(value, str) else value
    call.update({name: value for name, value in part.items() if name not in ("function", "index") and value})


def _merge_logprobs(known: Any, more: dict[str, Any]) -> Any:
    if known is None:
        return {name: list(value) if isinstance(value, list) else value for name, value in more.items()}
    for name, value in more.items():
        if isinstance(known.get(name), list) and isinstance(value, list):
            known[name].extend(value)
        elif known.get(name) is None:
            known[name] = value
    return known


def format_embeddings(value: Any, model: str, encoding: str) -> dict[str, Any]:
    """The answer to an embedding request from OpenAI's object, a vector or a list of vectors.

    Raises Failure for anything else. Source: the embedding object of OpenAI's API reference.
    """
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    if isinstance(value, dict):
        vectors = value.get("data", value.get("embeddings", value.get("embedding")))
        usage = value.get("usage") or usage
    else:
        vectors = value
    if not isinstance(vectors, list) or not vectors:
        raise _build_failure(model)
    if isinstance(vectors[0], (int, float)):
        vectors = [vectors]
    found = [item.get("embedding") if isinstance(item, dict) else item for item in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encode_vector(vector, model, encoding)}
        for index, vector in enumerate(found)
    ]
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _encode_vector(vector: Any, model: str, encoding: str) -> Any:
    try:
        if isinstance(vector, str):
            return vector if encoding == "base64" else _unpack_floats(base64.b64decode(vector, validate=True))
        if not isinstance(vector, list):
            raise _build_failure(model)
        if encoding != "base64":
            return [float(number) for number in vector]
        packed = array("f", vector)
    except (ValueError, TypeError, OverflowError) as error:
        raise _build_failure(model) from error
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()


def _unpack_floats(packed: bytes) -> list[float]:
    numbers = array("f", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _build_failure(model: str) -> Failure:
    return Failure(f"the worker of `{model}` gave no embeddings", status=502, kind="api_error")
