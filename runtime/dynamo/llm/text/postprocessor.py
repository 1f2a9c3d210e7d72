"""Tokens that an engine makes as the text of one choice: without broken characters, up to a stop string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.llm.generation import EngineStep
from dynamo.llm.text.preprocessor import Prepared
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

    def add_step(self, step: EngineStep) -> Piece:
        """What a step adds. After the last piece, close the engine's iterator. Raises Unavailable for a lost answer."""
        tokens = step.tokens
        if step.cached_tokens > self.cached:
            self.cached = step.cached_tokens
        reason: str | None = step.finish_reason
        if not self._ends.isdisjoint(tokens):  # an engine that does not know the ends of answers itself
            ended = next(at for at, token in enumerate(tokens) if token in self._ends)
            tokens, reason = tokens[:ended], "stop"
        self.made += len(tokens)
        text = self._stops.add_text(self._text.add_tokens(tokens))
        if reason == "cancelled":
            raise Unavailable("the engine gave the answer up")
        if reason and not self._stops.found:
            text += self._stops.add_text(self._text.flush_text())
        if self._stops.found:
            reason = "stop"
        elif reason:
            text += self._stops.flush_text()
        self.finished = bool(reason)
        return Piece(text, reason, self._format_logprobs(tokens, step.logprobs))

    def _format_logprobs(
        self, tokens: Sequence[int], given: Sequence[Mapping[int, float]]
    ) -> list[dict[str, Any]] | None:
        if self._prepared.logprobs is None or not given:
            return None
        top = self._prepared.logprobs
        found = []
        for token, likely in zip(tokens, given, strict=False):
            ordered = sorted(likely.items(), key=lambda item: -item[1])[:top]
            found.append(
                {
                    **self._format_logprob(token, likely.get(token, 0.0)),
                    "top_logprobs": [self._format_logprob(other, value) for other, value in ordered],
                }
            )
        return found

    def _format_logprob(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._tokenizer.decode([token])
        return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


class StopStrings:
    """Holds back what may be the beginning of a stop string until it is known."""

    def __init__(self, stops: Sequence[str], *, keep: bool = False) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._keep = keep
        self._held = ""
        self.found = ""
        """The stop string that ended the text."""

    def add_text(self, text: str) -> str:
        """What can be told now. After a stop string was found: nothing more."""
        if self.found:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        hits = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            # The one that ends first, so that it does not matter in which pieces the text came.
            at, self.found = min(hits, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            self._held = ""
            return text[: at + len(self.found)] if self._keep else text[:at]
        held = self._count_possible(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush_text(self) -> str:
        """What was held back and was no stop string."""
        text, self._held = self._held, ""
        return text

    def _count_possible(self, text: str) -> int:
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), longest, -1):
                if stop.startswith(text[-size:]):
                    longest = size
                    break
        return longest


_BROKEN = "\ufffd"
_LONGEST = 16
"""More tokens than any character has: what is still none after so many is told as it is."""


class Detokenizer:
    """The text of one answer.

    A token's text depends on the one before it, so a piece is what decoding it adds to decoding what was told before
    it; a piece that ends in the middle of a character waits for the rest.
    """

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._window = list(context)
        self._told = len(self._window)
        self._known = tokenizer.decode(self._window) if self._window else ""

    def add_tokens(self, tokens: Sequence[int]) -> str:
        """The text that these tokens complete; often that of one token, now and then none."""
        text = ""
        for token in tokens:
            self._window.append(token)
            text += self._take_piece(last=False)
        return text

    def flush_text(self) -> str:
        """What was waited for and will not come: a broken character as U+FFFD."""
        return self._take_piece(last=True) if len(self._window) > self._told else ""

    def _take_piece(self, *, last: bool) -> str:
        text = self._tokenizer.decode(self._window)
        forced = last or len(self._window) - self._told >= _LONGEST
        if len(text) <= len(self._known) or (text.endswith(_BROKEN) and not forced):
            return ""
        piece = text[len(self._known) :]
        # What was told last is what the next piece depends on; a broken end is nothing to go on from.
        self._window = [] if text.endswith(_BROKEN) else self._window[self._told :]
        self._told = len(self._window)
        self._known = self._tokenizer.decode(self._window) if self._window else ""
        return piece
