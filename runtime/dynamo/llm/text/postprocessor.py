"""Tokens that an engine makes as the text of one choice: without broken characters, up to a stop string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.llm.generation import EngineStep
from dynamo.llm.text.detokenizer import Detokenizer
from dynamo.llm.text.preprocessor import Prepared
from dynamo.llm.text.stop_strings import StopStrings
from dynamo.llm.text.tokenizer import Tokenizer
from dynamo.sdk.errors import Unavailable


@dataclass(slots=True)
class Piece:
    """What can be told of a choice: text, and the reason when it was the last of it."""

    text: str
    finish_reason: str | None = None
    logprobs: list[dict[str, Any]] | None = None


class Postprocessor:
    """The text of one choice as it grows."""

    def __init__(self, tokenizer: Tokenizer, prepared: Prepared) -> None:
        self._tokenizer = tokenizer
        self._prepared = prepared
        self._text = Detokenizer(tokenizer)
        self._stops = StopStrings(prepared.stops, keep=prepared.keep_stop)
        self._ends = prepared.request.stop_tokens
        self.made = 0
        self.cached = 0
        self.finished = False

    def add(self, step: EngineStep) -> Piece:
        """What a step adds. After the last piece, close the engine's iterator. Raises Unavailable for a lost answer."""
        tokens = step.tokens
        if step.cached_tokens > self.cached:
            self.cached = step.cached_tokens
        reason: str | None = step.finish_reason
        if not self._ends.isdisjoint(tokens):  # an engine that does not know the ends of answers itself
            ended = next(at for at, token in enumerate(tokens) if token in self._ends)
            tokens, reason = tokens[:ended], "stop"
        self.made += len(tokens)
        text = self._stops.add(self._text.add(tokens))
        if reason == "cancelled":
            raise Unavailable("the engine gave the answer up")
        if reason and not self._stops.found:
            text += self._stops.add(self._text.end())
        if self._stops.found:
            reason = "stop"
        elif reason:
            text += self._stops.end()
        self.finished = bool(reason)
        return Piece(text, reason, self._logprobs(tokens, step.logprobs))

    def _logprobs(self, tokens: Sequence[int], given: Sequence[Mapping[int, float]]) -> list[dict[str, Any]] | None:
        if self._prepared.logprobs is None or not given:
            return None
        top = self._prepared.logprobs
        found = []
        for token, likely in zip(tokens, given, strict=False):
            ordered = sorted(likely.items(), key=lambda item: -item[1])[:top]
            found.append(
                {
                    **self._named(token, likely.get(token, 0.0)),
                    "top_logprobs": [self._named(other, value) for other, value in ordered],
                }
            )
        return found

    def _named(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._tokenizer.decode([token])
        return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}
