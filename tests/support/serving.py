"""A `dynamo serve` that a test runs: real processes in a folder of their own, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from support.waiting import PATIENCE, wait_until

BIN = Path(sys.executable).parent
GRAPH = """
import os
from dynamo.sdk import api, depends, dynamo_endpoint, service

@service(dynamo={"enabled": True}, workers=2)
class Back:
    def __init__(self, word: str = "one"):
        print("made", word)
        self.word = word

    @dynamo_endpoint
    async def tell(self, request: dict):
        return self.word

@service
class Front:
    back = depends(Back)

    @api
    async def tell(self):
        return await self.back.tell({})

    @api
    async def slow(self, parts: int):
        import asyncio
        for number in range(parts):
            yield str(number)
            await asyncio.sleep(0.1)
"""


def as_in_a_terminal() -> None:
    """A hangup and Ctrl-C are heard, also where the tests run under nohup or in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Serve:
    """One `dynamo serve` in a folder, and what it says."""

    def __init__(self, folder: Path, *arguments: str, command: tuple[str, ...] = (), **environment: str) -> None:
        self.folder = folder
        self.log = folder / "serve.log"
        runtime = folder / "run"
        runtime.mkdir(exist_ok=True)
        self.runtime = runtime
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime), **environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "dynamo_build", "serve", *arguments],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                preexec_fn=as_in_a_terminal,
            )
        self.port = 0

    def ready(self) -> Serve:
        """Wait until it serves."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            if "serving " in (said := self.said()):
                found = re.search(r"serving .*? on http://127\.0\.0\.1:(\d+)", said)
                self.port = int(found[1]) if found else 0
                return self
            time.sleep(0.02)
        raise AssertionError(self.said())

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def post(self, path: str, body: str, **headers: str) -> tuple[int, str, str]:
        """Status, content type and body; no content type is sent unless given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", path, body, headers)
        with contextlib.closing(connection), connection.getresponse() as answer:
            return answer.status, answer.headers.get("content-type", ""), answer.read().decode()

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.said()) from None

    def processes(self) -> dict[int, str]:
        """All that it started, by pid, whoever their parent is now."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    environment = (entry / "environ").read_bytes()
                    if f"XDG_RUNTIME_DIR={self.runtime}".encode() in environment.split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def workers(self) -> list[int]:
        """The processes of workers: forks of the supervisor."""
        every = self.processes()
        supervisors = [pid for pid, command in every.items() if "dynamo.supervisor" in command]
        return [pid for pid in supervisors if parent(pid) in supervisors]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(one: Serve) -> None:
    """Nothing is left: no process, no file."""
    wait_until(lambda: not one.processes(), lambda: f"{one.processes()}\n{one.said()}")
    assert [path.name for path in one.runtime.iterdir()] == []


def typed(serve: Callable[..., Serve], command: str, files: Mapping[str, str]) -> Serve:
    """A command line as it is typed, in a network of its own: every port is free there."""
    line = f"export PATH={BIN}:$PATH; ip link set lo up; exec {command}"
    return serve(files=files, command=("unshare", "-n", "bash", "-c", line)).ready()


def asked(one: Serve, command: str) -> str:
    """What another terminal on that network shows."""
    entered = ["nsenter", "-t", str(one.process.pid), "-n", "bash", "-c", command]
    done = subprocess.run(entered, capture_output=True, text=True, timeout=30, env=one.environment, cwd=one.folder)
    assert done.returncode == 0, done.stderr + one.said()
    return done.stdout


class Open:
    """Requests over connections that are kept; another is opened when all are in use, up to CONNECTIONS."""

    CONNECTIONS = 64

    def __init__(self, one: Serve, path: str = "/tell", right: bytes = b"one") -> None:
        self._port = one.port
        self._request = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n".encode()
        self._right = right
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._free = asyncio.Semaphore(self.CONNECTIONS)
        self.answers = 0
        self.wrong: Counter[str] = Counter()
        self.longest = 0.0

    async def ask(self) -> None:
        """Ask once and count what came of it."""
        begun = time.monotonic()
        await self._free.acquire()
        try:
            taken = self._idle.popleft() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = taken
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(found[1]) if found else 0)
        except (OSError, EOFError) as error:
            self.wrong[repr(error)] += 1
            return
        finally:
            self._free.release()
            self.longest = max(self.longest, time.monotonic() - begun)
        self._idle.append(taken)
        if head.startswith(b"HTTP/1.1 200 ") and body == self._right:
            self.answers += 1
        else:
            self.wrong[f"{head[:40]!r} {body[:80]!r}"] += 1

    async def close(self) -> None:
        """Close what is open."""
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Load:
    """Requests over kept connections, each as soon as the one before is answered, until told to stop."""

    def __init__(self, one: Serve, connections: int, pause: float = 0.0) -> None:
        self.one = one
        self.answers = 0
        self.errors: Counter[int] = Counter()
        self.failures: list[str] = []
        self.longest = 0.0
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.one.port, timeout=30)
        while not self._stop.wait(self._pause):
            begun = time.monotonic()
            try:
                connection.request("POST", "/tell")
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            finally:
                self.longest = max(self.longest, time.monotonic() - begun)
            if (answer.status, body) == (200, b"one"):
                self.answers += 1
            elif answer.status >= 500 and b'"code":' in body:
                self.errors[answer.status] += 1
            else:
                self.failures.append(f"{answer.status} {body!r}")
        connection.close()

    def __str__(self) -> str:
        typed = ", ".join(f"{count} with {status}" for status, count in sorted(self.errors.items())) or "none"
        wrong = len(self.failures)
        return f"counted {self.answers} right, typed errors: {typed}, {wrong} wrong, longest {self.longest:.2f} s"

    def stop(self) -> None:
        """End it; then the counts are whole."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
