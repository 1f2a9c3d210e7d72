"""Running a command that dies at its n-th call that touches the disk, as a power cut or the kernel would have it."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

EVENTS = frozenset(
    {
        *("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.utime"),
        *("os.listdir", "os.scandir", "fcntl.flock"),
    }
)
SILENT = ("fsync", "close", "fstat", "lstat", "stat")


def killed_at(number: int, action: Callable[[], object], below: str) -> bool:
    """Run the action in a fork that kills itself at that call; False when it ended before."""
    return _forked(number, action, below)[0]


def calls(action: Callable[[], object], below: str) -> int:
    """How many calls a whole run makes."""
    died, count = _forked(0, action, below)
    assert not died
    return count


def _forked(number: int, action: Callable[[], object], below: str) -> tuple[bool, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reading)
            seen = _count(number, below)
            code = 0 if action() in (0, None) else 3
            os.write(writing, struct.pack("q", seen[0]))
        finally:
            os._exit(code)
    os.close(writing)
    told = os.read(reading, 8)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the command failed with {status}"
    return status != 0, struct.unpack("q", told)[0] if told else 0


def _count(number: int, below: str) -> list[int]:
    seen = [0]

    def count() -> None:
        seen[0] += 1
        if seen[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS:
            where = arguments[0] if arguments else ""
            if not isinstance(where, (str, bytes, os.PathLike)) or os.fsdecode(where).startswith(below):
                count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def around(where: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(where, int) or os.fsdecode(where).startswith(below):
                count()
            return function(where, *arguments, **named)

        return around

    sys.addaudithook(audit)
    for name in SILENT:
        setattr(os, name, counted(getattr(os, name)))
    return seen
