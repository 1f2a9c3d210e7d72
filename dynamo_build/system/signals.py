"""Signals that end a command, heard at any moment of it.

An exception of a handler is lost where it falls into a finalizer or a callback of a weak reference: Python prints it
and goes on. Modules that are being loaded have such callbacks. The signal comes again then, once that has returned.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. A class of its own: once the plain one went through `exec`, the interpreter ends by the signal."""

    number = signal.SIGINT


class Ended(SystemExit):
    """Another signal than Ctrl-C, with the exit code that shells have for it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def listen() -> None:
    """Raise Interrupted in the main thread at Ctrl-C; a shell's background job ignores it, and still does."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        _hold()
        signal.signal(signal.SIGINT, _raise)


def close() -> bool:
    """Ignore Ctrl-C from here to the interpreter's end. Gives whether one was still to be sent again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return signal.SIGINT in _coming


@contextlib.contextmanager
def raising(numbers: Sequence[int]) -> Iterator[None]:
    """Raise Interrupted or Ended for these signals within the block, unless they have a handler already."""
    _hold()
    before = {number: signal.signal(number, _raise) for number in numbers if not callable(signal.getsignal(number))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Defer Ctrl-C, and SIGTERM and SIGHUP where they have a handler, until the block has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears it at all
        return
    heard: list[int] = []
    others = [number for number in (signal.SIGTERM, signal.SIGHUP) if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda it, _: heard.append(it)) for number in (signal.SIGINT, *others)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for number in map(signal.Signals, heard):
            handler = before[number]
            if callable(handler):
                handler(number, None)


def caused(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused this error: creating a class wraps it in a RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _raise(number: int, frame: FrameType | None) -> None:
    while frame is not None and frame.f_code is not _lost.__code__:
        frame = frame.f_back
    if frame is not None:  # an exception that is raised in there is lost
        _again(number)
    else:
        _coming.discard(number)
        raise Interrupted if number == signal.SIGINT else Ended(number)


def _hold() -> None:
    if sys.unraisablehook is not _lost:
        _before[:] = [sys.unraisablehook]
        sys.unraisablehook = _lost


def _lost(what: sys.UnraisableHookArgs) -> None:
    if isinstance(what.exc_value, Interrupted | Ended):
        _again(what.exc_value.number)
    else:
        _before[0](what)


def _again(number: int) -> None:
    """Send it again a moment later; `threading.Thread` takes locks that the interrupted code may hold."""
    main = threading.main_thread().ident
    assert main is not None
    _coming.add(number)
    _thread.start_new_thread(_send, (main, number))


def _send(thread: int, number: int) -> None:
    time.sleep(0.01)
    signal.pthread_kill(thread, number)


#: The hook that `_lost` took the place of.
_before: list[Callable[[sys.UnraisableHookArgs], object]] = [sys.__unraisablehook__]
#: The signals that are sent again, until they are heard.
_coming: set[int] = set()
