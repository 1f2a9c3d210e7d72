"""Stop strings in a text that comes in pieces: no part of one is ever told."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Holds back what may be the beginning of a stop string until it is known."""

    def __init__(self, stops: Sequence[str], *, keep: bool = False) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._keep = keep
        self._held = ""
        self.found = ""
        """The stop string that ended the text."""

    def add(self, text: str) -> str:
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
        held = self._possible(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def end(self) -> str:
        """What was held back and was no stop string."""
        text, self._held = self._held, ""
        return text

    def _possible(self, text: str) -> int:
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), longest, -1):
                if stop.startswith(text[-size:]):
                    longest = size
                    break
        return longest
