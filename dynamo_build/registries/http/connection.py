"""One request to one server: kept-alive connections, plain HTTP only where allowed, failures as one clear line."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dynamo_build.errors import RegistryError
from dynamo_build.oci.layer import Readable

_SECONDS = 60.0
_BLOCK = 1 << 18
LARGEST_ANSWER = 8 << 20


@dataclass(slots=True, kw_only=True)
class Answer:
    """A response. `stream` is open where it was asked for, else `body` holds all of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    stream: Readable | None = None
    url: str = ""


@dataclass(slots=True, kw_only=True)
class Connections:
    """Connections to any host, each used by one thread at a time and then kept for the next request."""

    insecure: tuple[str, ...] = ()
    _idle: dict[str, queue.SimpleQueue[http.client.HTTPConnection]] = field(default_factory=dict)
    _context: ssl.SSLContext | None = None

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Readable | bytes | None = None,
        *,
        stream: bool = False,
    ) -> Answer:
        """Send a request and read its answer. Raises RegistryError, temporary where another try may help."""
        parts = urlsplit(url)
        origin, target = f"{parts.scheme}://{parts.netloc}", parts.path + (f"?{parts.query}" if parts.query else "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegistryError(f"`{_bare(url)}` is not an address of a registry")
        if parts.scheme == "http" and not self.may_be_plain(parts.netloc):
            raise RegistryError(
                f"`{parts.netloc}` would be asked over plain HTTP",
                [f"Give it TLS, or allow it with `--insecure {parts.netloc}`."],
            )
        connection, used = self._take(origin)
        try:
            try:
                connection.request(method, target, body, dict(headers))
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                connection.close()
                kind = "closed an idle connection" if used else "closed the connection"
                raise RegistryError(f"`{parts.netloc}` {kind} ({type(error).__name__})", temporary=True) from error
            return self._answer(connection, response, origin, url, stream=stream)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _failure(parts.netloc, error) from error
        except BaseException:
            connection.close()
            raise

    def may_be_plain(self, netloc: str) -> bool:
        """Whether plain HTTP is allowed: on loopback, and where the user said so."""
        return is_loopback(netloc) or netloc in self.insecure

    def close(self) -> None:
        """Close all idle connections."""
        for idle in self._idle.values():
            with contextlib.suppress(queue.Empty):
                while True:
                    idle.get_nowait().close()

    def _take(self, origin: str) -> tuple[http.client.HTTPConnection, bool]:
        idle = self._idle.setdefault(origin, queue.SimpleQueue())
        with contextlib.suppress(queue.Empty):
            return idle.get_nowait(), True
        parts = urlsplit(origin)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=_SECONDS, blocksize=_BLOCK), False
        if self._context is None:
            self._context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.netloc, timeout=_SECONDS, context=self._context, blocksize=_BLOCK
        )
        return connection, False

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        origin: str,
        url: str,
        *,
        stream: bool,
    ) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(status=response.status, headers=headers, url=url)
        if stream and response.status in (200, 206):
            answer.stream = _Body(self, connection, response, origin)
            return answer
        answer.body = response.read(LARGEST_ANSWER + 1)
        if len(answer.body) > LARGEST_ANSWER:
            connection.close()
            raise RegistryError(f"`{urlsplit(url).netloc}` answered more than {LARGEST_ANSWER >> 20} MiB")
        self._give_back(connection, response, origin)
        return answer

    def _give_back(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, origin: str
    ) -> None:
        if response.will_close or not response.isclosed():
            connection.close()
        else:
            self._idle[origin].put(connection)


class _Body:
    """The body of an answer that is read while it arrives; its connection goes back when it ends."""

    def __init__(
        self,
        connections: Connections,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        origin: str,
    ) -> None:
        self._connections, self._connection, self._response, self._origin = connections, connection, response, origin

    def read(self, amount: int = -1, /) -> bytes:
        try:
            return self._response.read(amount if amount >= 0 else None)
        except (OSError, http.client.HTTPException) as error:
            raise _failure(urlsplit(self._origin).netloc, error) from error

    def close(self) -> None:
        self._connections._give_back(self._connection, self._response, self._origin)


def is_loopback(netloc: str) -> bool:
    """Whether a host (with or without a port) is this machine by its address or by the name `localhost`."""
    host = urlsplit(f"//{netloc}").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _failure(host: str, error: Exception) -> RegistryError:
    if isinstance(error, ConnectionRefusedError):
        return RegistryError(f"no registry listens at `{host}`", ["Check the address and the port, or start it."])
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or "verification failed"
        return RegistryError(
            f"the certificate of `{host}` is not trusted: {reason}", ["Name the registry's CA file in `SSL_CERT_FILE`."]
        )
    if isinstance(error, socket.gaierror):
        return RegistryError(f"the host of `{host}` is not known", ["Check the registry's name in the reference."])
    if isinstance(error, ssl.SSLError):
        return RegistryError(f"`{host}` does not speak TLS as expected: {error.reason or 'handshake failed'}")
    if isinstance(error, TimeoutError):
        return RegistryError(f"`{host}` gave no answer in {_SECONDS:.0f} seconds", temporary=True)
    reason = getattr(error, "strerror", "") or type(error).__name__
    return RegistryError(f"the connection to `{host}` failed: {reason}", temporary=True)


def _bare(url: str) -> str:
    """The address without what may be a secret: no user, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
