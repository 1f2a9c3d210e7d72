"""Requests of clients: types and ranges of the members that OpenAI defines; all others pass to the worker."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from dynamo.http.openai.error_body import Failure

_Number = float
_Penalty = Annotated[_Number, Meta(ge=-2, le=2)]
_Share = Annotated[_Number, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=1)]
_Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Token = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Many = Annotated[int, Meta(ge=1, le=128)]
_Logprobs = Annotated[int, Meta(ge=0, le=20)]


class StreamOptions(Struct):
    """How a stream is told."""

    include_usage: bool | None = None


class Message(Struct):
    """One turn of a conversation."""

    role: Annotated[str, Meta(min_length=1)]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class _ResponseFormat(Struct):
    type: Annotated[str, Meta(min_length=1)]
    json_schema: dict[str, Any] | None = None


class _Common(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[_Number, Meta(ge=0, le=2)] | None = None
    top_p: _Share | None = None
    n: _Many | None = None
    stop: str | list[str] | None = None
    max_tokens: _Count | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    logit_bias: dict[str, Annotated[_Number, Meta(ge=-100, le=100)]] | None = None
    seed: _Seed | None = None
    user: str | None = None


class ChatRequest(_Common, kw_only=True):
    """`/v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: _Count | None = None
    logprobs: bool | None = None
    top_logprobs: _Logprobs | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None


class CompletionRequest(_Common, kw_only=True):
    """`/v1/completions`."""

    prompt: str | list[str | _Token | list[_Token]]
    logprobs: _Logprobs | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: _Many | None = None


class EmbeddingRequest(Struct, kw_only=True):
    """`/v1/embeddings`."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | list[str | _Token | list[_Token]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: _Count | None = None
    user: str | None = None


_TYPES: dict[str, type[ChatRequest | CompletionRequest | EmbeddingRequest]] = {
    "chat": ChatRequest,
    "completion": CompletionRequest,
    "embedding": EmbeddingRequest,
}
_decoders = {kind: msgspec.json.Decoder(form) for kind, form in _TYPES.items()}
_decode = msgspec.json.Decoder().decode
SHOWN = 100
_PLACE = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)


def parse_request(kind: str, body: bytes) -> dict[str, Any]:
    """A request as the worker gets it. Raises Failure for what is not JSON, or not a request of that kind."""
    try:
        _check_members(kind, _decoders[kind].decode(body))
        request = _decode(body)
    except msgspec.ValidationError as error:
        raise _describe_mismatch(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Failure(f"the body is not JSON: {reason}") from error
    assert isinstance(request, dict)
    return request


def _check_members(kind: str, request: Any) -> None:
    for token in getattr(request, "logit_bias", None) or ():
        if not token.isdecimal():
            raise Failure(f"`logit_bias` names tokens by number, not `{token[:SHOWN]}`", param="logit_bias")
    if kind == "chat":
        if request.top_logprobs is not None and not request.logprobs:
            raise Failure("`top_logprobs` needs `logprobs` to be true", param="top_logprobs")
        return
    member = "prompt" if kind == "completion" else "input"
    value = getattr(request, member)
    if isinstance(value, list):
        if not value:
            raise Failure(f"`{member}` is empty", param=member)
        if len({type(item) for item in value}) > 1:
            raise Failure(f"`{member}` mixes texts and tokens", param=member)
    elif kind == "embedding" and not value:
        raise Failure("`input` is empty", param="input")


def _describe_mismatch(text: str) -> Failure:
    found = _PLACE.search(text)
    place = found[1] if found else ""
    message = text[: found.start()] if found else text
    message = message[:1].lower() + message[1:]
    missing = re.search(r"missing required field `(\w+)`", message)
    if missing:
        place = f"{place}.{missing[1]}" if place else missing[1]
    return Failure(f"`{place}`: {message}" if place else message, param=place)
