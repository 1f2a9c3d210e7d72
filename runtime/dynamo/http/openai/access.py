"""Access to the service: API keys, and the pages of other origins that a browser may call it from."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from dynamo.http.openai.error_body import Failure

Header = tuple[bytes, bytes]


class Access:
    """The rules of one service. No keys: everybody may; no origins: no other page may."""

    def __init__(self, keys: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._keys = tuple(key.encode() for key in keys if key)
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Access:
        """The rules in `DYNAMO_API_KEYS` and `DYNAMO_CORS_ORIGINS`, each a list with commas."""

        def listed(name: str) -> list[str]:
            return [item.strip() for item in environment.get(name, "").split(",") if item.strip()]

        return cls(listed("DYNAMO_API_KEYS"), listed("DYNAMO_CORS_ORIGINS"))

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises Failure when a key is needed and the request has no right one."""
        if not self._keys:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        found = given.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""
        # Every key is compared, so that the time tells nothing.
        if not sum(hmac.compare_digest(found, key) for key in self._keys):
            message = "the API key is wrong" if found else "no API key was given (`Authorization: Bearer KEY`)"
            raise Failure(message, status=401, code="invalid_api_key")

    def build_cors_headers(self, headers: Mapping[str, str]) -> tuple[Header, ...]:
        """The headers that let a page of another origin read the answer."""
        origin = headers.get("origin", "")
        if not origin or not self._origins:
            return ()
        if "*" in self._origins:
            return ((b"access-control-allow-origin", b"*"),)
        if origin not in self._origins:
            return ((b"vary", b"origin"),)
        return ((b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin"))

    def build_preflight_headers(self, headers: Mapping[str, str]) -> tuple[Header, ...]:
        """What a browser that asks before it sends is told beside `cross_origin`; clients send headers of their own."""
        if not any(name == b"access-control-allow-origin" for name, _ in self.build_cors_headers(headers)):
            return ()
        wanted = headers.get("access-control-request-headers") or "authorization, content-type, x-request-id"
        return (
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", wanted.encode("latin-1", "replace")),
            (b"access-control-max-age", b"600"),
        )
