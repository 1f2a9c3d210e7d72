"""Addresses of NATS servers, as a user gives them."""

from __future__ import annotations

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.model.broker import Broker, brokers


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("x:4333", "x", 4333),
        ("nats://x", "x", 4222),
        ("tls://10.1.2.3:4333", "10.1.2.3", 4333),
        ("wss://[fd00::1]:443", "fd00::1", 443),
    ],
)
def test_scheme_and_port_may_be_left_out(text: str, host: str, port: int) -> None:
    """The URL always has a scheme."""
    url = text if "://" in text else f"nats://{text}"
    assert brokers(text) == (Broker(url=url, host=host, port=port),)


def test_several() -> None:
    """Parted by commas, spaces allowed; none at all is none."""
    assert [(each.host, each.port) for each in brokers("nats://a:4222, b:4333")] == [("a", 4222), ("b", 4333)]
    assert brokers("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://x", "invalid address of a NATS server: `ftp://x`"),
        ("nats://", "invalid address"),
        ("nats://x:port", "invalid address"),
        ("nats://[x", "invalid address"),
        ("nats://user:hunter2@x:4222", r"`nats://…@x:4222` holds a secret"),
        ("a,nats://user:hunter2@b", r"`nats://…@b` holds a secret"),
        ("http://user:hunter2@x", r"invalid address of a NATS server: `http://…@x`"),
        ("nats://user:hunter2@x:port", "invalid address"),
    ],
)
def test_what_is_wrong_is_shown_without_its_password(text: str, message: str) -> None:
    """One line each."""
    with pytest.raises(UsageError, match=message) as caught:
        brokers(text)
    assert "hunter2" not in caught.value.message
