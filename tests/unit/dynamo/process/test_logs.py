"""What is shown, kept and followed of what workers say."""

from __future__ import annotations

import sys

from dynamo.process import logs
from dynamo.process.logs import Journal


def test_lines_have_their_speaker(capfd, monkeypatch):
    """Prefixes as wide as the longest; no colours where nobody sees them; the supervisor's own lines have none."""
    one = Journal()
    one.create_printer("A", "A", 4, 0)("first")
    one.create_printer("Back", "Back", 4, 1)("second")
    one.write_line("third")
    assert capfd.readouterr().err == "[A]    first\n[Back] second\nthird\n"
    assert [(line.service, line.text) for line in one.lines] == [
        ("A", "[A]    first"),
        ("Back", "[Back] second"),
        ("", "third"),
    ]


def test_colours_on_a_terminal(capfd, monkeypatch):
    """Each speaker has one; what is kept has none; NO_COLOR turns them off."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    one = Journal()
    one.create_printer("A", "A", 1, 0)("x")
    one.create_printer("B", "B", 1, 1)("x")
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("\033[36m[A]")
    assert second.startswith("\033[32m[B]")
    assert one.lines[0].text == "[A] x"
    monkeypatch.setenv("NO_COLOR", "1")
    Journal().create_printer("A", "A", 1, 0)("x")
    assert "\033" not in capfd.readouterr().err


def test_the_last_lines_are_kept(capfd, monkeypatch):
    """However much is said; a follower hears each."""
    one = Journal()
    heard = []
    one.followers.append(heard.append)
    for number in range(logs.KEPT_LINES + 5):
        one.write_line(str(number))
    assert len(one.lines) == logs.KEPT_LINES
    assert one.lines[0].text == "5"
    assert len(heard) == logs.KEPT_LINES + 5
