"""The addresses in NATS_SERVER, parsed without the client library and shown without secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from dynamo.sdk.errors import BadRequest


def parse_servers(url: str) -> list[tuple[str, int]]:
    """Where a NATS address points to; servers of a cluster are separated by commas. Raises BadRequest."""
    found = []
    for one in url.split(","):
        try:
            parts = urlsplit(one.strip() if "://" in one else f"nats://{one.strip()}")
            host, port = parts.hostname, parts.port or 4222
        except ValueError:
            host, port = None, 0
        if not host:  # it may hold a password, so it is not shown
            raise BadRequest("NATS_SERVER is not the address of a NATS server, which is written nats://HOST:PORT")
        found.append((host, port))
    return found


def redact_address(url: str) -> str:
    """A NATS address without its secrets. Raises BadRequest."""
    return ", ".join(f"{host}:{port}" for host, port in parse_servers(url))
