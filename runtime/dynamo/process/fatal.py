"""The error that ends serving a graph."""

from __future__ import annotations

from collections.abc import Sequence


class Verdict(Exception):
    """The graph cannot be served (any more): what was seen, and what to do."""

    def __init__(self, message: str, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.hints = tuple(hints)
