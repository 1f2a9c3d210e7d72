"""Requests to one server over kept-alive connections; plain HTTP only where it is allowed."""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dynamo_build.errors import RegistryError
from dynamo_build.oci.layer import Readable
from dynamo_build.registries.http.route import Routes, authorization, is_loopback

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
    routes: Routes = field(default_factory=Routes)
    _idle: dict[str, queue.SimpleQueue[http.client.HTTPConnection]] = field(default_factory=dict)

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
                f"`{parts.netloc}` would be contacted over plain HTTP",
                [f"Give it TLS, or allow it with `--insecure {parts.netloc}`."],
            )
        headers = dict(headers)
        if parts.scheme == "http" and (proxy := self.routes.proxy(origin)):
            target = url
            headers |= authorization(proxy)
        connection, used = self._take(origin)
        try:
            try:
                connection.request(method, target, body, headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                connection.close()
                kind = "closed an idle connection" if used else "closed the connection"
                raise RegistryError(f"`{parts.netloc}` {kind} ({type(error).__name__})", temporary=True) from error
            return self._answer(connection, response, origin, url, stream=stream)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._failure(origin, error) from error
        except BaseException:
            connection.close()
            raise

    def may_be_plain(self, netloc: str) -> bool:
        """Whether plain HTTP is allowed: on loopback, and where the user said so."""
        return is_loopback(netloc) or netloc in self.insecure

    def _failure(self, origin: str, error: Exception) -> RegistryError:
        host, proxy = urlsplit(origin).netloc, self.routes.proxy(origin)
        if proxy is None:
            return _failure(host, error, self.routes.seconds)
        at = proxy.netloc.rpartition("@")[2]
        if isinstance(error, (ConnectionRefusedError, socket.gaierror)):
            return RegistryError(
                f"the proxy `{at}` for `{host}` does not answer", ["Check the proxy, or name the registry in no_proxy."]
            )
        if type(error) is OSError and error.errno is None:  # http.client raises a bare one for a refused CONNECT only
            said = str(error).partition(": ")[2].strip()
            hint = "Check the proxy's login and rules, or name the registry in no_proxy."
            return RegistryError(f"the proxy `{at}` refuses the connection to `{host}`: {said}", [hint])
        return _failure(host, error, self.routes.seconds)

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
        return self.routes.connection(origin), False

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
        if response.will_close or not response.isclosed() or response.length:  # a length that is left: it was cut
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
            raise self._connections._failure(self._origin, error) from error

    def close(self) -> None:
        self._connections._give_back(self._connection, self._response, self._origin)


def _failure(host: str, error: Exception, seconds: float) -> RegistryError:
    if isinstance(error, ConnectionRefusedError):
        return RegistryError(f"no registry listens at `{host}`", ["Check the address and the port, or start it."])
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or "verification failed"
        return RegistryError(
            f"the certificate of `{host}` is not trusted: {reason}", ["Name the registry's CA file in `SSL_CERT_FILE`."]
        )
    if isinstance(error, socket.gaierror):
        return RegistryError(f"the host name of `{host}` cannot be resolved", ["Check the name in the reference."])
    if isinstance(error, ssl.SSLError):
        return RegistryError(f"`{host}` does not speak TLS as expected: {error.reason or 'handshake failed'}")
    if isinstance(error, TimeoutError):
        return RegistryError(f"`{host}` gave no answer in {seconds:.0f} seconds", temporary=True)
    reason = getattr(error, "strerror", "") or type(error).__name__
    return RegistryError(f"the connection to `{host}` failed: {reason}", temporary=True)


def _bare(url: str) -> str:
    """The address without what may be a secret: no user, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
