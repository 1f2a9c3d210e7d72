"""Answers to a registry's authentication challenge: basic, or a bearer token from the realm that it names.

Source: RFC 7235 (challenges), the distribution project's token authentication spec, and its OAuth2 form.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from dynamo_build.errors import RegistryError
from dynamo_build.oci import documents
from dynamo_build.registries import credentials
from dynamo_build.registries.http.connection import Connections

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(slots=True, kw_only=True)
class Authorization:
    """The Authorization headers of one registry, one for each set of scopes, bought when first refused."""

    host: str
    environment: Mapping[str, str]
    connections: Connections
    tried: bool = False
    _headers: dict[tuple[str, ...], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def header(self, scopes: tuple[str, ...]) -> str:
        """What to send with a request of these scopes; "" before the registry asked."""
        return self._headers.get(scopes) or self._headers.get((), "")

    def answer(self, challenge: str, scopes: tuple[str, ...], refused: str) -> bool:
        """Get a new header after a 401 that refused the header `refused`; False when nothing more can be tried."""
        with self._lock:
            if self.header(scopes) != refused:
                return True
            scheme, _, rest = challenge.strip().partition(" ")
            found = credentials.find(self.host, self.environment)
            self.tried = self.tried or found is not None
            if scheme.lower() == "basic":
                if found is None or not found.user or refused:
                    return False
                self._headers[()] = found.basic
                return True
            if scheme.lower() != "bearer":
                return False
            parameters = {name: quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
            token = self._token(parameters, scopes, found)
            if not token or f"Bearer {token}" == refused:
                return False
            self._headers[scopes] = f"Bearer {token}"
            return True

    def _token(
        self, challenge: Mapping[str, str], scopes: tuple[str, ...], found: credentials.Credentials | None
    ) -> str:
        realm = challenge.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self.connections.may_be_plain(urlsplit(realm).netloc):
            raise RegistryError(f"`{self.host}` requires tokens over plain HTTP")
        wanted = [("scope", scope) for scope in scopes or tuple(challenge.get("scope", "").split())]
        if service := challenge.get("service"):
            wanted.append(("service", service))
        headers = {"Accept": "application/json"}
        if found and found.identity_token:
            grant = [
                ("grant_type", "refresh_token"),
                ("refresh_token", found.identity_token),
                ("client_id", "dynamo-build"),
            ]
            merged = [
                ("scope", " ".join(value for name, value in wanted if name == "scope")),
                *wanted[len(scopes) :],
                *grant,
            ]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            reply = self.connections.send("POST", realm, headers, urlencode(merged).encode())
        else:
            if found:
                headers["Authorization"] = found.basic
            joint = "&" if "?" in realm else "?"
            reply = self.connections.send("GET", realm + joint + urlencode(wanted), headers)
        if reply.status in (401, 403, 400):
            return ""
        if reply.status != 200:
            raise RegistryError(
                f"the token server of `{self.host}` answered {reply.status}",
                status=reply.status,
                temporary=reply.status >= 500,
            )
        document = documents.parse(reply.body, f"the token of `{self.host}`")
        return str(document.get("token") or document.get("access_token") or "")
