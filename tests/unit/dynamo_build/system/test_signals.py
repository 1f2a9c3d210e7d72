"""Ctrl-C falls where Python loses exceptions, and where it wraps them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from dynamo_build.system import signals

LOST = """
import os, signal, time
from dynamo_build.system import signals

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(1)

signals.install_handler()
with signals.raise_on_signals([signal.SIGINT, signal.SIGTERM]):
    try:
        Finalized()
        time.sleep(60)
    finally:
        print("heard")
"""

IN_THE_HOOK = """
import os, signal, sys, time
from dynamo_build.system import signals

class Finalized:
    def __del__(self):
        raise ValueError

def hook(what):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    print("told")

sys.unraisablehook = hook
signals.install_handler()
with signals.raise_on_signals([signal.SIGTERM]):
    try:
        Finalized()
        time.sleep(60)
    finally:
        print("heard")
"""

AT_THE_END = """
import os, signal
from dynamo_build.cli import app

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def command(**_):
    Finalized()

app.app = command
app.main([])
"""

WRAPPED = """
import os, signal
from dynamo_build.cli import app

class Field:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def command(**_):
    class Stamps:
        field = Field()

app.app = command
app.main([])
"""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lost_in_a_finalizer_it_comes_again(number: signal.Signals) -> None:
    ended = _run(LOST.replace("{name}", number.name))
    assert ended.stdout == "heard\n"
    assert (number == signal.SIGTERM and ended.returncode == 143) or "signals.Interrupted" in ended.stderr
    assert "ignored" not in ended.stderr


def test_while_another_error_is_told_it_comes_again() -> None:
    ended = _run(IN_THE_HOOK)
    assert (ended.returncode, ended.stdout.split()[0], ended.stdout.split()[-1]) == (143, "told", "heard")
    assert ended.stderr == ""


def test_lost_at_the_very_end_it_counts() -> None:
    ended = _run(AT_THE_END)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def test_wrapped_by_a_class_in_the_making() -> None:
    ended = _run(WRAPPED)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def test_other_errors_are_not_caused_by_it() -> None:
    try:
        try:
            raise ValueError
        except ValueError as error:
            raise RuntimeError from error
    except RuntimeError as error:
        assert not signals.is_interrupt(error)
    assert not signals.is_interrupt(None)
