"""The NATS servers that a deployment is told to use."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from dynamo_build.errors import UsageError

_SCHEMES = ("nats", "tls", "ws", "wss")
_PORT = 4222


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One server: its URL, and the host and port in it."""

    url: str
    host: str
    port: int


def brokers(addresses: str) -> tuple[Broker, ...]:
    """Servers parted by commas; the scheme and the port may be left out.

    Raises UsageError for what is no address, and for one that holds a password: it would stand in a manifest.
    """
    return tuple(_parsed(each) for each in map(str.strip, addresses.split(",")) if each)


def _parsed(address: str) -> Broker:
    url = address if "://" in address else f"nats://{address}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORT
    except ValueError:
        parts, host, port = urlsplit(""), "", 0
    login, at, server = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://…@{server}" if at else url.rpartition("@")[2]
    if parts.scheme not in _SCHEMES or not host:
        raise UsageError(
            f"invalid address of a NATS server: `{shown}`", ["Write nats://HOST:PORT, or tls:// or ws://."]
        )
    if login:
        raise UsageError(
            f"the address `{shown}` holds a secret, which would stand in the manifest",
            ["Leave it out, and keep it in a Secret: --env-from-secret NATS_AUTH_PASSWORD=SECRET/KEY."],
        )
    return Broker(url=url, host=host, port=port)
