"""The door to a running supervisor: a socket in the user's runtime folder that takes one request, a line of JSON.

The answer is a line of JSON at once, or lines as they come. Nobody but the user can enter the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk import running

LONGEST_REQUEST = 64 * 1024
LONGEST_BACKLOG = 8 * 1024 * 1024


class Conversation:
    """One client: its request, and what is still to be sent to it. `on_close` is called when it is over."""

    def __init__(self, connection: socket.socket, selector: selectors.BaseSelector, heed: Answer) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._selector = selector
        self._heed: Answer | None = heed
        self._received = b""
        self._unsent = b""
        self._ending = False
        self.closed = False
        self.on_close: Callable[[], None] = lambda: None
        selector.register(connection, selectors.EVENT_READ, self._handle_event)

    def send_line(self, text: str) -> None:
        """Send a line. A client that does not read is left."""
        self._unsent += text.encode(errors="replace") + b"\n"
        if len(self._unsent) > LONGEST_BACKLOG:
            self.close()
        self._send_pending()

    def end(self) -> None:
        """Close when all is sent."""
        self._ending = True
        self._send_pending()

    def close(self) -> None:
        """Close now."""
        if not self.closed:
            self.closed = True
            self._selector.unregister(self._connection)
            self._connection.close()
            self.on_close()

    def _handle_event(self, selector: selectors.BaseSelector) -> None:
        self._send_pending()
        if self.closed:
            return
        try:
            data = self._connection.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > LONGEST_REQUEST:
            self.close()
        elif self._heed is not None and b"\n" in self._received:
            heed, self._heed = self._heed, None
            try:
                request = json.loads(self._received)
                heed(request if isinstance(request, dict) else {}, self)
            except (ValueError, RecursionError):
                self.end()

    def _send_pending(self) -> None:
        if self.closed:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._unsent and self._ending:
            self.close()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._connection, events, self._handle_event)


Answer = Callable[[Mapping[str, Any], Conversation], None]


class Control:
    """The listening end, in the loop of a supervisor."""

    def __init__(self, environment: Mapping[str, str], selector: selectors.BaseSelector, answer: Answer) -> None:
        place = running.make_folder(environment)
        self.path = place / f"{os.getpid()}{running.CONTROL}"
        self._selector = selector
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _shorten_path(place) as name:
                self.path.unlink(missing_ok=True)
                self._socket.bind(f"{name}/{self.path.name}")
            self.path.chmod(0o600)
            self._socket.listen(16)
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise
        selector.register(self._socket, selectors.EVENT_READ, self._accept_client)

    def _accept_client(self, selector: selectors.BaseSelector) -> None:
        with contextlib.suppress(OSError):
            Conversation(self._socket.accept()[0], selector, self._answer)

    def close(self) -> None:
        """Close it, and leave no file."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()


def connect_control(path: Path) -> socket.socket:
    """The other end of a supervisor's door. Raises OSError when nobody is behind it."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _shorten_path(path.parent) as name:
            connection.connect(f"{name}/{path.name}")
    except OSError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _shorten_path(folder: Path) -> Any:
    """A short name of a folder: the address of such a socket has room for 107 bytes."""
    if len(os.fsencode(folder)) < 90 or not Path("/proc/self/fd").is_dir():
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
