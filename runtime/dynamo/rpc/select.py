"""Choice of a process's request plane by its environment: `DYN_REQUEST_PLANE=tcp|nats`, its token and its TLS.

DYNAMO_TRANSPORT_TLS_CA, _CERT and _KEY turn on mutual TLS between workers and callers: whoever has no certificate of
that authority is not talked to. Names in certificates are not looked at, since a worker's address is what it was given;
DYNAMO_TRANSPORT_TLS_NAME is the name that every worker's certificate must have where one authority signs for more.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo.coordination.nats import connection as nats
from dynamo.coordination.nats.credentials import create_tls_context
from dynamo.rpc.nats import NatsTransport
from dynamo.rpc.tcp import TcpTransport, Tls
from dynamo.rpc.transport import Transport
from dynamo.sdk.errors import BadRequest

PREFIX = "DYNAMO_TRANSPORT_TLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A request plane as it was asked for."""

    kind: str
    host: str
    advertise: str
    port: int
    tls: Tls | None
    timeout: float

    def create_transport(self, connection: nats.Nats, token: str) -> Transport:
        """The transport, for those who share the token."""
        if self.kind == "nats":
            return NatsTransport(connection, token)
        host = self.host or nats.local_address(connection.url)
        return TcpTransport(token, host, self.advertise, self.port, self.tls)


def read_plane(environment: Mapping[str, str]) -> Plane:
    """What the environment asks for. Raises BadRequest for a setting that is none."""
    kind = environment.get("DYN_REQUEST_PLANE", "") or "tcp"
    if kind not in ("tcp", "nats"):
        raise BadRequest(f"DYN_REQUEST_PLANE is `{kind}`; it can be `tcp` or `nats`")
    return Plane(
        kind=kind,
        host=environment.get("DYNAMO_TRANSPORT_HOST", ""),
        advertise=environment.get("DYNAMO_TRANSPORT_ADVERTISE", ""),
        port=parse_port(environment.get("DYNAMO_TRANSPORT_PORT", "")),
        tls=mutual_tls(environment),
        timeout=parse_seconds("DYNAMO_CALL_TIMEOUT", environment.get("DYNAMO_CALL_TIMEOUT", "")),
    )


def mutual_tls(environment: Mapping[str, str]) -> Tls | None:
    """TLS between workers and callers, when it is asked for. Raises BadRequest when a file is missing or broken."""
    names = [f"{PREFIX}_{part}" for part in ("CA", "CERT", "KEY")]
    missing = [name for name in names if not environment.get(name)]
    if len(missing) == len(names):
        return None
    if missing:
        raise BadRequest(f"TLS between workers needs {', '.join(names)}; {', '.join(missing)} is not set")
    worker = create_tls_context(environment, PREFIX, ssl.Purpose.CLIENT_AUTH)
    worker.verify_mode = ssl.CERT_REQUIRED
    caller = create_tls_context(environment, PREFIX, ssl.Purpose.SERVER_AUTH)
    name = environment.get(f"{PREFIX}_NAME", "")
    caller.check_hostname = bool(name)
    return Tls(worker=worker, caller=caller, name=name)


def parse_port(text: str) -> int:
    """A port as the environment has it; 0: any free one. Raises BadRequest."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise BadRequest(f"DYNAMO_TRANSPORT_PORT is `{text}`, which is not a port number")
    return int(text)


def parse_seconds(name: str, text: str) -> float:
    """A time as the environment has it; 0: any. Raises BadRequest."""
    try:
        found = float(text or 0)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:
        raise BadRequest(f"{name} is `{text}`, which is not a number of seconds")
    return found
