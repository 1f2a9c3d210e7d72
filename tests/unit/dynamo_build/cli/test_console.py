"""What the user sees."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from dynamo.sdk.graph import Position, Problem
from dynamo_build.cli import console
from dynamo_build.errors import GraphError, UsageError
from dynamo_build.events import Finished, Progress, Started, Table, Warned


def test_problems_come_before_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem is one line with file and line, its hint below, and stdout stays clean."""
    problem = Problem(where=Position(file="graph.py", line=3), message="cycle: A, B", hint="Drop an edge.")
    console.show_error(GraphError("the graph has 1 problem", problems=[problem]))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "graph.py:3: error: cycle: A, B",
        "  hint: Drop an edge.",
        "error: the graph has 1 problem",
    ]


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No progress bars in a log; results and warnings are lines."""
    listen = console.create_listener()
    for event in (
        Table(rows=(("a", "1/2", "waiting"),)),
        Started(what="packing"),
        Progress(what="packing", done=1, total=2),
        Finished(what="packed", detail="2 files"),
    ):
        listen(event)
    assert capsys.readouterr().err == "packed: 2 files\n"


def test_bytes_and_the_time_left_on_a_terminal() -> None:
    """What `build`, `export` and `import` tell is drawn over itself, and gone when they end."""
    main, side = pty.openpty()
    script = (
        "from dynamo_build.cli import console; from dynamo_build.events import Finished, Progress\n"
        "listen = console.create_listener()\n"
        "listen(Progress(what='packing', done=3 << 20, total=6 << 20))\n"
        "listen(Progress(what='packing', done=6 << 20, total=6 << 20))\n"
        "listen(Finished(what='packed', detail='2 files'))\n"
    )
    subprocess.run([sys.executable, "-c", script], stderr=side, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    drawn = os.read(main, 4096).decode()
    os.close(main)
    assert "packing 3.0 MiB/6.0 MiB 50% ETA 0s" in drawn
    assert drawn.endswith("\r\x1b[Kpacked: 2 files\r\n")


def test_quiet_still_warns(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quiet` keeps warnings."""
    listen = console.create_listener(quiet=True)
    listen(Finished(what="packed"))
    listen(Warned(text="large file"))
    assert capsys.readouterr().err == "warning: large file\n"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes(count: int, text: str) -> None:
    """Bytes for people."""
    assert console.format_size(count) == text


def test_output_forms(capsys: pytest.CaptureFixture[str]) -> None:
    """One result in four forms, each alone on stdout."""
    console.print_result({"tag": "a:1"}, "json", text="", name="a:1")
    console.print_result({"tag": "a:1"}, "yaml", text="", name="a:1")
    console.print_result({"tag": "a:1"}, "name", text="", name="a:1")
    console.print_result({"tag": "a:1"}, "text", text=lambda: "bento a:1", name="a:1")
    assert capsys.readouterr().out == '{\n  "tag": "a:1"\n}\ntag: a:1\na:1\nbento a:1\n'
    with pytest.raises(UsageError):
        console.print_result({}, "xml", text="")


def test_a_table_is_drawn_over_itself() -> None:
    """On a terminal it stays in its place, lines come above it, and a low terminal shows the last rows."""
    main, side = pty.openpty()
    script = (
        "import fcntl, struct, sys, termios\n"
        "fcntl.ioctl(sys.stderr.fileno(), termios.TIOCSWINSZ, struct.pack('HHHH', 5, 40, 0, 0))\n"
        "from dynamo_build.cli import console; from dynamo_build.events import Noted, Table\n"
        "listen = console.create_listener()\n"
        "listen(Table(rows=(('a', '0/1', 'waiting'), ('long', '1/1', 'ready'))))\n"
        "listen(Table(rows=(('a', '1/1', 'ready'), ('long', '1/1', 'ready'))))\n"
        "listen(Noted(text='said'))\n"
        "listen(Table(rows=tuple((str(number), 'x' * 60) for number in range(9))))\n"
    )
    subprocess.run([sys.executable, "-c", script], stderr=side, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    drawn = os.read(main, 4096).decode()
    os.close(main)
    assert "\r\x1b[Ja     0/1  waiting\r\nlong  1/1  ready\r\n" in drawn
    assert "\x1b[2A\x1b[Ja     1/1  ready\r\n" in drawn
    assert "\x1b[2A\x1b[Jsaid\r\n\r\x1b[J6  xxx" in drawn
    assert drawn.count("x" * 36 + "\r\n") == 3
