"""Ctrl-C at the n-th event of a command: in a fork, where Python's own audit says what it does, so each moment is the same."""

from __future__ import annotations

import os
import signal
import struct
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo_build.cli import app

EVENTS = frozenset(
    {
        *("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.listdir", "os.scandir"),
        *("fcntl.flock", "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "tempfile.mkdtemp", "import"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended; `events` is 0 when it did not end by itself."""

    code: int
    out: str
    err: str
    events: int


def interrupted(command: list[str], scratch: Path, number: int = 0) -> Ended:
    """Run `dynamo` until that event, and send SIGINT there; 0: never."""
    out, err = scratch / "stdout", scratch / "stderr"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            for descriptor, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
            seen = _counted(number)
            code: Any = 1
            try:
                app.main(command)
            except SystemExit as end:
                code = end.code
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(writing, struct.pack("q", seen[0]))
            os._exit(code)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(99)
    os.close(writing)
    told = os.read(reading, 8)
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(code=code, out=out.read_text(), err=err.read_text(), events=struct.unpack("q", told)[0] if told else 0)


def _counted(number: int) -> list[int]:
    seen = [0]

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS:
            seen[0] += 1
            if seen[0] == number:
                os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(audit)
    return seen
