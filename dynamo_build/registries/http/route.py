"""The way to a server: direct or through the proxy that the environment names, and the trusted certificates.

Source: the customs of curl for `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`; Docker's and Podman's
`certs.d/HOST:PORT/` (`*.crt` for authorities, `*.cert` with `*.key` for ourselves).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from dynamo_build.errors import RegistryError, UsageError

_CERTIFICATES = ("/etc/docker/certs.d", "/etc/containers/certs.d")


@dataclass(slots=True, kw_only=True)
class Routes:
    """Opens connections to hosts; nothing is connected before the first request."""

    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0
    block: int = 1 << 18
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def connection(self, origin: str) -> http.client.HTTPConnection:
        """A connection for requests to `scheme://host[:port]`. Raises UsageError for a proxy that cannot be one."""
        parts = urlsplit(origin)
        proxy = self.proxy(origin)
        if parts.scheme == "http":
            netloc = proxy.netloc.rpartition("@")[2] if proxy else parts.netloc
            return http.client.HTTPConnection(netloc, timeout=self.seconds, blocksize=self.block)
        context = self._context(parts.netloc)
        if proxy is None:
            return http.client.HTTPSConnection(
                parts.netloc, timeout=self.seconds, context=context, blocksize=self.block
            )
        through = http.client.HTTPSConnection(
            proxy.netloc.rpartition("@")[2], timeout=self.seconds, context=context, blocksize=self.block
        )
        through.set_tunnel(parts.hostname or "", parts.port or 443, headers=authorization(proxy))
        return through

    def proxy(self, origin: str) -> SplitResult | None:
        """The proxy for this origin, or None. This machine itself is never asked through one."""
        parts = urlsplit(origin)
        named = self._said(f"{parts.scheme}_proxy") or self._said("all_proxy")
        if not named or is_loopback(parts.netloc) or _excluded(parts, self._said("no_proxy")):
            return None
        found = urlsplit(named if "://" in named else f"http://{named}")
        if found.scheme != "http" or not found.hostname:
            raise UsageError(
                f"`{found.scheme}://{found.hostname or ''}` cannot be used as a proxy",
                [f"Set {parts.scheme}_proxy to `http://HOST:PORT`, or name `{parts.hostname}` in no_proxy."],
            )
        port = f":{found.port or 3128}"
        login = f"{found.netloc.rpartition('@')[0]}@" if "@" in found.netloc else ""
        host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
        return found._replace(netloc=f"{login}{host}{port}")

    def _said(self, name: str) -> str:
        return self.environment.get(name) or self.environment.get(name.upper()) or ""

    def _context(self, netloc: str) -> ssl.SSLContext:
        folders = [folder for folder in self._folders(netloc) if folder.is_dir()]
        key = netloc if folders else ""
        if key not in self._contexts:
            context = ssl.create_default_context()
            try:
                if named := self.environment.get("SSL_CERT_FILE"):
                    context.load_verify_locations(named)
                for folder in folders:
                    _trust(context, folder)
            except (OSError, ssl.SSLError) as error:
                reason = getattr(error, "strerror", "") or getattr(error, "reason", "") or type(error).__name__
                raise RegistryError(
                    f"a certificate for `{netloc}` cannot be read: {reason}",
                    ["Check SSL_CERT_FILE and the files below certs.d."],
                ) from error
            self._contexts[key] = context
        return self._contexts[key]

    def _folders(self, netloc: str) -> list[Path]:
        own = self.environment.get("XDG_CONFIG_HOME") or str(
            Path(self.environment.get("HOME", "/nonexistent"), ".config")
        )
        return [Path(root, netloc) for root in (*_CERTIFICATES, f"{own}/containers/certs.d")]


def authorization(proxy: SplitResult) -> dict[str, str]:
    """The header that a proxy with a login wants."""
    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def is_loopback(netloc: str) -> bool:
    """Whether a host (with or without a port) is this machine by its address or by the name `localhost`."""
    host = urlsplit(f"//{netloc}").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _excluded(parts: SplitResult, listed: str) -> bool:
    host, port = (parts.hostname or "").rstrip("."), parts.port
    for entry in (item.strip().lower() for item in listed.split(",")):
        name, colon, wanted = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if colon and wanted != str(port):
            continue
        name = name.removeprefix("*.").lstrip(".")
        if name == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _trust(context: ssl.SSLContext, folder: Path) -> None:
    for path in sorted(folder.glob("*.crt")):
        context.load_verify_locations(path)
    for path in sorted(folder.glob("*.cert")):
        context.load_cert_chain(path, path.with_suffix(".key"))
