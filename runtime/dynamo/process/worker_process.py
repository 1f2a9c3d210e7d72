"""One worker's place under the supervisor: its process, the pipe of its output, and the pipe that says it is ready."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

LAST_LINES = 8
LONGEST_LINE = 65536
WAKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """A place for one worker. `failures` counts those that ended at once, `retry_at` is when the next starts.

    `environment` is what the worker gets besides the supervisor's own, `system` the socket of its health pages.
    """

    service: str
    number: int
    label: str
    show: Callable[[str], None]
    http: socket.socket | None = None
    system: socket.socket | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    pid: int = 0
    started: float = 0.0
    starts: int = 0
    ready: bool = False
    told: bool = False
    ending: bool = False
    became_ready: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    lines: list[str] = field(default_factory=list)
    _output: int = -1
    _state: int = -1
    _rest: bytes = b""

    @property
    def state(self) -> str:
        """`ready`, `starting`, `ending`, `waiting` for its next start, or `failed`."""
        if self.pid:
            return "ending" if self.ending else "ready" if self.ready else "starting"
        return "failed" if math.isinf(self.retry_at) else "waiting"

    def fork_worker(self, body: Callable[[Callable[[], None]], int], selector: selectors.BaseSelector) -> None:
        """Fork a worker. It runs `body`, which is given what to call when it is ready; its result is the exit code."""
        self._output, write = os.pipe2(os.O_CLOEXEC)
        self._state, state = os.pipe2(os.O_CLOEXEC)
        self.ready, self.told, self._rest, self.started = False, False, b"", time.monotonic()
        self.starts += 1
        self.lines.clear()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)  # the child would lose what comes before it has our defaults
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                self._set_up_child(write, parent, (*selector.get_map(), self._output, self._state), selector)
                code = body(lambda: _report_ready(state))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKING)
        os.close(write)
        os.close(state)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)
        os.set_blocking(self._output, False)
        selector.register(self._output, selectors.EVENT_READ, self.read_output)
        selector.register(self._state, selectors.EVENT_READ, self.read_state)

    def create_successor(self) -> Slot:
        """A place for the worker that takes over from this one: the same sockets, the same devices."""
        return Slot(
            service=self.service,
            number=self.number,
            label=self.label,
            show=self.show,
            http=self.http,
            system=self.system,
            environment=self.environment,
            starts=self.starts,
        )

    def _set_up_child(self, out: int, parent: int, others: Iterable[Any], selector: selectors.BaseSelector) -> None:
        os.setpgid(0, 0)  # a terminal's Ctrl-C is the supervisor's to pass on
        die_with_parent(signal.SIGKILL, parent)
        signal.set_wakeup_fd(-1)
        for number in WAKING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKING)
        os.dup2(out, 1)
        os.dup2(out, 2)
        cast(Any, sys.stdout).reconfigure(line_buffering=True)
        for descriptor in {int(other) for other in others} | {out}:
            os.close(descriptor)
        selector.close()
        here = str(Path.cwd())
        if sys.path[:1] != [here]:
            sys.path.insert(0, here)

    def read_output(self, selector: selectors.BaseSelector) -> None:
        """Show the lines that the worker wrote."""
        try:
            data = os.read(self._output, LONGEST_LINE)
        except BlockingIOError:
            return
        if not data:
            self._output = _close_descriptor(self._output, selector)
        lines = (self._rest + data).split(b"\n")
        self._rest = b"" if not data or len(lines[-1]) > LONGEST_LINE else lines.pop()
        for line in lines:
            if line or data:
                text = line.decode(errors="replace")
                self.lines = [*self.lines[1 - LAST_LINES :], text]
                self.show(text)

    def read_state(self, selector: selectors.BaseSelector) -> None:
        """Hear that the worker is ready, or that it ended before."""
        if os.read(self._state, 64):
            self.ready, self.became_ready = True, time.monotonic()
        self._state = _close_descriptor(self._state, selector)

    def poll_exit(self, selector: selectors.BaseSelector) -> int | None:
        """The exit code when the worker ended, after the last of its output; its own children are ended too."""
        if not self.pid:
            return None
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 256
        if not pid:
            return None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.pid = 0
        if self._state >= 0:
            self.read_state(selector)
        while self._output >= 0 and _is_readable(self._output):
            self.read_output(selector)
        if self._output >= 0:
            self._output = _close_descriptor(self._output, selector)
        return os.waitstatus_to_exitcode(status)

    def format_introduction(self) -> str:
        """What is said when it is ready."""
        parts = [f"ready after {self.became_ready - self.started:.2f} s, process {self.pid}"]
        if "CUDA_VISIBLE_DEVICES" in self.environment:
            parts.append(f"GPU {self.environment['CUDA_VISIBLE_DEVICES']}")
        if self.system is not None:
            parts.append(f"health at http://{format_address(self.system)}/health")
        return ", ".join(parts)

    def send_signal(self, number: int, *, group: bool = False) -> None:
        """Send the worker a signal, or all that it started too."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(self.pid, number)

    def last_words(self) -> str:
        """The error it ended with, as far as it said one."""
        lines = [line for line in self.lines if line.startswith("error: ")] or self.lines or ["it said nothing"]
        return lines[-1].removeprefix("error: ")


def format_address(listening: socket.socket) -> str:
    """HOST:PORT of a socket."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _close_descriptor(descriptor: int, selector: selectors.BaseSelector) -> int:
    selector.unregister(descriptor)
    os.close(descriptor)
    return -1


def _is_readable(descriptor: int) -> bool:
    with selectors.DefaultSelector() as pending:
        pending.register(descriptor, selectors.EVENT_READ)
        return bool(pending.select(0))


def _report_ready(state: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(state, b"ready\n")
    os.close(state)


def die_with_parent(number: int, parent: int) -> None:
    """Have the kernel send this process a signal when its parent ends (Linux; prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os._exit(1)
