"""Names of things on the network: endpoint paths, and registry keys that any namespace or endpoint name fits in."""

from __future__ import annotations

import re
from urllib.parse import unquote

_SAFE = re.compile(r"[A-Za-z0-9_-]")
PREFIX = "dynamo"


def format_path(namespace: str, component: str, endpoint: str) -> str:
    """`namespace/component/endpoint`: how a request names what it calls. Endpoint names may hold `/`."""
    return f"{namespace}/{component}/{endpoint}"


def parse_address(address: str) -> tuple[str, str, str]:
    """The three parts of a path or of a `dynamo://` address (then the endpoint may be missing, as "").

    Raises ValueError when there are fewer than two.
    """
    parts = address.removeprefix("dynamo://").split("/", 2)
    if len(parts) < 2 or not parts[0] or not parts[1]:
        raise ValueError(f"`{address}` is not namespace/component/endpoint")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else ""


def encode_token(name: str) -> str:
    """A name as one token of a NATS subject or key; distinct names stay distinct."""
    return "".join(
        letter if _SAFE.match(letter) else "".join(f"={byte:02X}" for byte in letter.encode()) for letter in name
    )


def decode_token(token: str) -> str:
    """The name that `token` was made from. Raises ValueError for a text that is none."""
    return unquote(token.replace("=", "%"), errors="strict")


def instance_key(namespace: str, component: str, instance: int) -> str:
    """The registry key of one instance."""
    return f"{encode_token(namespace)}.{encode_token(component)}.{instance:x}"


def component_filter(namespace: str, component: str) -> str:
    """The registry filter that matches all instances of a component."""
    return f"{encode_token(namespace)}.{encode_token(component)}.*"
