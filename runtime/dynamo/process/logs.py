"""The log of a graph: printed at once, each worker in its own colour, and the last lines kept for `dynamo logs`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

KEPT_LINES = 5000
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


class Line(NamedTuple):
    """One line: the worker that wrote it ("" is the supervisor), its service, and how it is shown."""

    label: str
    service: str
    text: str


class Journal:
    """The lines of a supervisor and its workers. `followers` are called with each new one."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=KEPT_LINES)
        self.followers: list[Callable[[Line], None]] = []
        self._colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def write_line(self, text: str) -> None:
        """A line of the supervisor itself."""
        print_line(text)
        self._keep_line(Line("", "", text))

    def create_printer(self, label: str, service: str, width: int, number: int) -> Callable[[str], None]:
        """What shows the lines of one worker; `number` chooses the colour, `width` is that of the longest label."""
        prefix = f"[{label}]".ljust(width + 2)
        shown = f"\033[{_COLOURS[number % len(_COLOURS)]}m{prefix}\033[0m" if self._colours else prefix

        def show(text: str) -> None:
            print_line(f"{shown} {text}")
            self._keep_line(Line(label, service, f"{prefix} {text}"))

        return show

    def _keep_line(self, line: Line) -> None:
        self.lines.append(line)
        for follower in tuple(self.followers):
            follower(line)


def print_line(text: str) -> None:
    """One line on stderr; a reader that left does not end us."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace") + b"\n")
