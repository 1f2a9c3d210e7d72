"""What the door to NATS works out without a server."""

from __future__ import annotations

import pytest

from dynamo.coordination.nats import connection
from dynamo.sdk.errors import BadRequest


def test_addresses():
    """Secrets in an address are never shown."""
    assert connection.redact_address("nats://user:pass@host:5") == "host:5"
    assert connection.redact_address("nats://user:pass@host:5, tls://user:pass@other") == "host:5, other:4222"
    assert connection.parse_servers("host") == [("host", 4222)]
    assert connection.local_address("nats://127.0.0.1:4222") == "127.0.0.1"
    for wrong in ("nats://", "nats://user:pass@host:port", "", "nats://[::1", "host,"):
        with pytest.raises(BadRequest, match="not the address") as refused:
            connection.redact_address(wrong)
        assert "pass" not in refused.value.message
