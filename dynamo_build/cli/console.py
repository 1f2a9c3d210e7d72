"""Output of the command line: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dynamo_build.errors import DynamoError, GraphError, UsageError
from dynamo_build.events import (
    DashboardStarted,
    Event,
    Finished,
    LayerPushed,
    Listener,
    Noted,
    Output,
    Progress,
    Started,
    Table,
    Warned,
)

if TYPE_CHECKING:
    from dynamo.sdk.graph import Problem

_RESET, _RED, _YELLOW, _DIM, _BOLD = "\033[0m", "\033[31m", "\033[33m", "\033[2m", "\033[1m"


#: What stands for signs of ours where the terminal's encoding has none; anything else is shown by its number.
_PLAIN = {"└": "`", "├": "|", "│": "|", "─": "-", "…": "...", "–": "-", "·": "-", "→": "->", "×": "x", "≥": ">="}


def accept_encodings(*streams: Any) -> None:
    """Let streams of any encoding take any text: a name in another alphabet must not end a command."""
    codecs.register_error("dynamo", _replace_unencodable)
    for stream in streams:
        if (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="dynamo")


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    shown = [_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in bad]
    return "".join(shown), error.end


def print_line(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def _color_text(text: str, *codes: str) -> str:
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return "".join(codes) + text + _RESET if coloured else text


def show_problem(problem: Problem, kind: str = "error") -> None:
    """One problem of a graph: `file:line: error: message`, and its hint below."""
    place = f"{problem.where}: " if str(problem.where) else ""
    print_line(place + _color_text(f"{kind}: ", _RED if kind == "error" else _YELLOW, _BOLD) + problem.message)
    if problem.hint:
        print_line(_color_text("  hint: ", _DIM) + problem.hint)


def show_error(error: DynamoError) -> None:
    """An error: its problems when it holds any, then one line, then what to do."""
    if isinstance(error, GraphError):
        for problem in error.problems:
            show_problem(problem)
    print_line(_color_text("error: ", _RED, _BOLD) + error.message)
    for hint in error.hints:
        print_line(_color_text("  hint: ", _DIM) + hint)


def create_listener(quiet: bool = False) -> Listener:
    """A listener for this terminal: progress bars on a terminal, plain lines elsewhere."""
    return _Talk(quiet)


class _Talk:
    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self.drawn = 0.0
        self.begun: dict[str, float] = {}
        self.pending = False
        self.lines = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._print_line(_color_text("warning: ", _YELLOW, _BOLD) + event.text)
        elif isinstance(event, DashboardStarted):
            self._print_line(f"dashboard at {event.address}")
        elif self.quiet:
            return
        elif isinstance(event, Progress):
            self._draw_progress(event)
        elif isinstance(event, Started):
            self.begun[event.what] = time.monotonic()
            if self.terminal:
                self._draw_line(f"{event.what} …")
        elif isinstance(event, Table):
            self._draw_table(event)
        elif isinstance(event, Output):
            self._print_line(_color_text(event.line, _DIM))
        elif isinstance(event, Noted):
            self._print_line(event.text)
        elif isinstance(event, LayerPushed):
            self._print_line(f"layer {event.digest}: {event.how}")
        elif isinstance(event, Finished):
            self._print_line(event.what + (f": {event.detail}" if event.detail else ""))

    def _print_line(self, text: str) -> None:
        if self.lines:
            sys.stderr.write(f"\033[{self.lines}A\033[J")
            self.lines = 0
        if self.pending:
            sys.stderr.write("\r\033[K")
            self.pending = False
        print_line(text)

    def _draw_table(self, table: Table) -> None:
        """The rows in place of those drawn before; the last ones where the terminal is too low for all."""
        if not self.terminal:
            return
        columns, height = os.get_terminal_size(sys.stderr.fileno())
        rows = table.rows[-max(1, height - 2) :]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
        texts = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
        up = f"\033[{self.lines}A" if self.lines else "\r"
        sys.stderr.write(up + "\033[J" + "".join(f"{text.rstrip()[: max(20, columns - 1)]}\n" for text in texts))
        sys.stderr.flush()
        self.lines, self.pending = len(rows), False

    def _draw_line(self, text: str) -> None:
        width = max(20, (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1)
        sys.stderr.write("\r\033[K" + text[:width])
        sys.stderr.flush()
        self.pending = True

    def _draw_progress(self, event: Progress) -> None:
        now = time.monotonic()
        self.begun.setdefault(event.what, now)
        if not self.terminal or (now - self.drawn < 0.1 and event.done < event.total):
            return
        self.drawn = now
        shown = format_size if event.unit == "bytes" else str
        text = f"{event.what} {shown(event.done)}"
        if event.total:
            rest = (now - self.begun[event.what]) / max(event.done, 1) * (event.total - event.done)
            text += f"/{shown(event.total)} {100 * event.done // event.total}% ETA {rest:.0f}s"
        self._draw_line(text)


def format_size(count: int) -> str:
    """Bytes for people: `12.3 MiB`."""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def print_result(value: Any, output: str, *, text: Callable[[], str] | str, name: str = "") -> None:
    """Print a result on stdout as `text`, `json`, `yaml` or `name` (`name`: the bare tag, reference or path)."""
    from dynamo.sdk import codec

    if output == "json":
        print(codec.encode_pretty(value))
    elif output == "yaml":
        import yaml

        print(yaml.safe_dump(codec.to_plain(value), sort_keys=False, allow_unicode=True), end="")
    elif output == "name":
        print(name)
    elif output == "text":
        print(text if isinstance(text, str) else text())
    else:
        raise UsageError(f"`{output}` is not an output format", ["Use text, json, yaml or name."])
