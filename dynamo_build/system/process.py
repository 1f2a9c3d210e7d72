"""Programs run to their end: their lines become events, their failure an error with the last lines."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dynamo_build.errors import DynamoError, ToolMissing
from dynamo_build.events import Listener, Output, ignore
from dynamo_build.system import signals

TAIL = 20


class ProgramFailed(DynamoError):
    """A program ended with an error or took too long. `code` is negative for a signal, and None when time ran out."""

    def __init__(self, program: str, code: int | None, tail: Sequence[str], timeout: float | None = None) -> None:
        self.program = program
        self.code = code
        self.tail = tuple(tail)
        if code is None:
            seen = f"`{program}` was stopped after {timeout:g} s"
        elif code < 0:
            seen = f"`{program}` was ended by signal {_signal_name(-code)}"
        else:
            seen = f"`{program}` ended with code {code}"
        super().__init__(f"{seen}: {self.tail[-1]}" if self.tail else seen)


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    on: Listener = ignore,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: bytes = b"",
    timeout: float | None = None,
    hints: Sequence[str] = (),
) -> str:
    """Run a program to its end and give what it wrote to stdout; every line of stderr is an `Output` event.

    The program gets a process group of its own, which is ended as a whole when time runs out or the caller is
    interrupted. Raises ToolMissing (with `hints`) when there is no such program, ProgramFailed otherwise.
    """
    words = [os.fspath(word) for word in command]
    program = Path(words[0]).name
    said: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL)

    def heard(line: str) -> None:
        tail.append(line)
        on(Output(line=line))

    readers: list[threading.Thread] = []
    try:
        with started(
            words,
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            readers += [_reader(process.stdout, said.append), _reader(process.stderr, heard)]
            _give(process, given)
            wait(process, timeout)
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(program, None, tuple(tail), timeout) from error
    except FileNotFoundError as error:
        if folder is not None and not folder.is_dir():
            raise DynamoError(f"there is no folder {folder} to run `{program}` in") from error
        raise ToolMissing(f"there is no program `{program}`", hints) from error
    except PermissionError as error:
        raise ToolMissing(f"`{program}` may not be run here", hints) from error
    finally:
        for reader in readers:
            reader.join(5)
    if process.returncode != 0:
        raise ProgramFailed(program, process.returncode, tuple(tail) or tuple(said[-TAIL:]))
    return "".join(f"{line}\n" for line in said)


@contextlib.contextmanager
def started(command: Sequence[str], **named: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, which is ended as a whole on leaving, whatever happened."""
    process = None
    try:
        with signals.undivided():  # an interrupt before its number is known would leave it running
            process = subprocess.Popen(command, start_new_session=True, **named)
        yield process
    finally:
        if process is not None:
            _end(process)


def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
    """The exit code of a program. Raises subprocess.TimeoutExpired.

    `Popen.wait` with a timeout takes a lock that it does not release where a signal's handler raises between two of its
    lines; later waiters block forever.
    """
    if timeout is None:
        return process.wait()
    until, pause = time.monotonic() + timeout, 0.0005
    while True:
        with signals.undivided():
            code = process.poll()
        if code is not None:
            return code
        left = until - time.monotonic()
        if left <= 0:
            raise subprocess.TimeoutExpired(process.args, timeout)
        pause = min(2 * pause, 0.05)
        time.sleep(min(pause, left))


def _reader(pipe: IO[bytes] | None, line: Callable[[str], None]) -> threading.Thread:
    assert pipe is not None

    def read() -> None:
        with pipe:
            for raw in pipe:
                line(raw.decode("utf-8", "replace").rstrip("\r\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _give(process: subprocess.Popen[bytes], given: bytes) -> None:
    if process.stdin is None:
        return
    try:
        with process.stdin:
            process.stdin.write(given)
    except BrokenPipeError:
        pass  # it did not want all of it; its code says whether that matters


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group: also of a program that left children behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
