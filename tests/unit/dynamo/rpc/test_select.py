"""What the environment says about the request plane, and that every variable is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynamo.coordination.nats import credentials
from dynamo.rpc import select
from dynamo.sdk.errors import BadRequest

ROOT = Path(__file__).resolve().parents[4]
VARIABLE = re.compile(r"\b(?:DYNAMO_TRANSPORT|DYNAMO_CALL|DYN_REQUEST|NATS)_[A-Z_]*[A-Z]\b")


def test_every_variable_is_documented():
    """docs/reference/calls.md names what the runtime reads, and nothing else."""
    read = set()
    folders = (ROOT / "runtime" / "dynamo" / name for name in ("rpc", "coordination", "messages"))
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        read |= set(VARIABLE.findall(path.read_text()))
    read -= {select.PREFIX, "NATS_TLS"}
    read |= {f"{prefix}_{part}" for prefix in (select.PREFIX, "NATS_TLS") for part in ("CA", "CERT", "KEY")}
    told = set(VARIABLE.findall((ROOT / "docs" / "reference" / "calls.md").read_text()))
    assert read == told | {f"{select.PREFIX}_NAME"}


def test_defaults():
    """Without variables: TCP, any port, no TLS, no deadline, nobody in particular."""
    plane = select.read_plane({})
    assert (plane.kind, plane.port, plane.tls, plane.timeout) == ("tcp", 0, None, 0.0)
    assert credentials.read_credentials({}) == {}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DYN_REQUEST_PLANE": "udp"}, "can be `tcp` or `nats`"),
        ({"DYNAMO_TRANSPORT_PORT": "x"}, "not a port number"),
        ({"DYNAMO_CALL_TIMEOUT": "1e30"}, "not a number of seconds"),
        ({"DYNAMO_TRANSPORT_TLS_CA": "/ca"}, "_CERT, DYNAMO_TRANSPORT_TLS_KEY is not set"),
    ],
)
def test_wrong_settings(environment, message):
    """Are refused by name."""
    with pytest.raises(BadRequest, match=message):
        select.read_plane(environment)


def test_logins_that_need_a_package(monkeypatch):
    """A missing package is named, with what to do."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadRequest, match="NATS_AUTH_NKEY needs the package `nkeys`"):
        credentials.read_credentials({"NATS_AUTH_NKEY": "S"})
