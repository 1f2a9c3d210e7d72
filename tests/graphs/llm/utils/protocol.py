"""Requests and answers between the components, some with types of the engine's library."""

from typing import Any

from pydantic import BaseModel
from vllm.entrypoints.openai.protocol import ChatCompletionRequest
from vllm.sampling_params import SamplingParams


class Tokens(BaseModel):
    tokens: list[int]


class PrefillRequest(BaseModel):
    request_id: str


class PreprocessedRequest(BaseModel):
    tokens: list[int]
    sampling_params: SamplingParams | None = None
    extra: dict[str, Any] = {}


__all__ = ["ChatCompletionRequest", "PrefillRequest", "PreprocessedRequest", "SamplingParams", "Tokens"]
