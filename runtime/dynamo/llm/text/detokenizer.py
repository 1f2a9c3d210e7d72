"""Tokens that come one after another as text, without ever breaking a character."""

from __future__ import annotations

from collections.abc import Sequence

from dynamo.llm.text.tokenizer import Tokenizer

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

    def add(self, tokens: Sequence[int]) -> str:
        """The text that these tokens complete; often that of one token, now and then none."""
        text = ""
        for token in tokens:
            self._window.append(token)
            text += self._next(last=False)
        return text

    def end(self) -> str:
        """What was waited for and will not come: a broken character as U+FFFD."""
        return self._next(last=True) if len(self._window) > self._told else ""

    def _next(self, *, last: bool) -> str:
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
