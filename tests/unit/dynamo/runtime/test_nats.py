"""What the door to NATS works out without a server."""

from __future__ import annotations

import pytest

from dynamo.runtime import nats


def test_addresses():
    """Secrets in an address are never shown."""
    assert nats.shown("nats://user:pass@host:5") == "host:5"
    assert nats.host_and_port("host") == ("host", 4222)
    assert nats.local_address("nats://127.0.0.1:4222") == "127.0.0.1"
    with pytest.raises(ValueError, match="not an address"):
        nats.shown("nats://")
