"""Requests to one registry: address and scheme, authorization, redirects, retries, and error messages."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from dynamo_build.errors import RegistryError
from dynamo_build.oci.layer import Readable
from dynamo_build.registries.credentials import Credentials
from dynamo_build.registries.http.authorization import Authorization
from dynamo_build.registries.http.connection import Answer, Connections
from dynamo_build.registries.http.route import Routes

TRIES = 5
_LONGEST_WAIT = 30.0
_LONGEST_ASKED = 120.0
_REDIRECTS = (301, 302, 303, 307, 308)
_TEMPORARY = (408, 429, 500, 502, 503, 504)

Body = Callable[[], Readable] | bytes | None


class Client:
    """One registry. Safe to use from several threads."""

    def __init__(
        self,
        host: str,
        environment: Mapping[str, str],
        insecure: tuple[str, ...] = (),
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.host = host
        self.address = "registry-1.docker.io" if host in ("", "docker.io", "index.docker.io") else host
        self.connections = Connections(insecure=insecure, routes=Routes(environment=environment))
        self.authorization = Authorization(
            host=host or "docker.io", environment=environment, connections=self.connections
        )
        self._wait = wait
        self._root = ""
        self._asking = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        *,
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        expected: Collection[int] = (200,),
        stream: bool = False,
        tries: int = TRIES,
        what: str = "",
    ) -> Answer:
        """Send until it is answered with an expected status. Raises RegistryError with what the registry said."""
        for attempt in range(tries):
            try:
                answer = self._authorized(method, path, scopes, headers or {}, body, stream)
                if answer.status in expected:
                    return answer
                raise self._refusal(answer, what or path)
            except RegistryError as error:
                if not error.temporary or attempt == tries - 1:
                    raise
                self._wait(pause(attempt, error.after))
        raise AssertionError("unreachable")

    def root(self) -> str:
        """`https://host`, or `http://host` where that is allowed and is what answers."""
        with self._asking:
            if not self._root:
                plain = self.connections.may_be_plain(self.address)
                self._root = self._probed() if plain else f"https://{self.address}"
        return self._root

    def _probed(self) -> str:
        plain = f"http://{self.address}"
        try:
            answer = self.connections.send("GET", f"{plain}/v2/", {})
        except RegistryError as error:
            if not error.temporary:
                raise
            return f"https://{self.address}"
        # a TLS server answers a plain request with 400, before it looks at the path
        return f"https://{self.address}" if answer.status == 400 else plain

    def _authorized(
        self, method: str, path: str, scopes: tuple[str, ...], headers: Mapping[str, str], body: Body, stream: bool
    ) -> Answer:
        url = urljoin(self.root(), path)
        for _ in range(3):
            sent = dict(headers)
            header = self.authorization.header(scopes)
            if header and urlsplit(url).netloc == self.address:
                sent["Authorization"] = header
            answer = self._follow(method, url, sent, body, stream)
            challenge = answer.headers.get("www-authenticate", "")
            if answer.status != 401 or not self.authorization.answer(challenge, scopes, header):
                break
        return answer

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Body, stream: bool) -> Answer:
        answer = self._once(method, url, headers, body, stream)
        for _ in range(5):
            location = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD") or not location:
                return answer
            target = urljoin(url, location)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise RegistryError(f"`{self.address}` redirects from HTTPS to plain HTTP")
            if urlsplit(target).netloc != urlsplit(url).netloc:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
            answer = self._once(method, url, headers, body, stream)
        raise RegistryError(f"`{self.address}` redirects too often")

    def _once(self, method: str, url: str, headers: dict[str, str], body: Body, stream: bool) -> Answer:
        if not callable(body):
            return self.connections.send(method, url, headers, body, stream=stream)
        opened = body()
        with contextlib.closing(opened):
            return self.connections.send(method, url, headers, opened, stream=stream)

    def _refusal(self, answer: Answer, what: str) -> RegistryError:
        code, said = _said(answer.body)
        status = answer.status
        said = f": {said}" if said else ""
        if status == 401:
            did = "refused the credentials" if self.authorization.tried else "asks for a login"
            hint = f"Run `dynamo login {self.address}`, or set DOCKER_AUTH_CONFIG."
            return RegistryError(f"`{self.address}` {did}", [hint], status=401, code=code)
        if status == 403:
            hint = "Request access, or use another repository."
            return RegistryError(f"`{self.address}` denies access to {what}{said}", [hint], status=403, code=code)
        if status == 404:
            hint = "Check its name, and that it was pushed."
            return RegistryError(f"`{self.address}` has no {what}", [hint], status=404, code=code)
        return RegistryError(
            f"`{self.address}` answered {status} for {what}{said}",
            status=status,
            code=code,
            temporary=status in _TEMPORARY,
            after=_asked(answer.headers.get("retry-after", "")),
        )


def _said(body: bytes) -> tuple[str, str]:
    try:
        first = json.loads(body)["errors"][0]
        return str(first.get("code", ""))[:80], str(first.get("message", ""))[:200].replace("\n", " ")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return "", ""


def pause(attempt: int, asked: float = 0.0) -> float:
    """Seconds before the next try: what the server asked for, else twice as long each time."""
    return min(asked, _LONGEST_ASKED) if asked else min(0.2 * 2.0**attempt, _LONGEST_WAIT)


def _asked(retry_after: str) -> float:
    """The seconds of a Retry-After header, which is a number or a date (RFC 9110); 0 for neither."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def check_login(
    host: str, credentials: Credentials, environment: Mapping[str, str], insecure: tuple[str, ...] = ()
) -> None:
    """Ask the registry. Raises RegistryError when it refuses them, or is not there.

    Source: OCI distribution spec, end-1: `GET /v2/` answers 200 to valid credentials.
    """
    entry = {"auth": credentials.basic.removeprefix("Basic ")}
    around = {**environment, "DOCKER_AUTH_CONFIG": json.dumps({"auths": {host: entry}})}
    client = Client(host, around, insecure)
    try:
        client.request("GET", "/v2/", what="its front door")
    finally:
        client.connections.close()
