"""Keys and origins."""

from __future__ import annotations

import pytest

from dynamo.http.openai.access import Access
from dynamo.http.openai.errors import Failure


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic right", "right", "Bearer right x"])
def test_refused(header: str) -> None:
    """Only `Bearer` with one of the keys is let in."""
    with pytest.raises(Failure) as refused:
        Access(keys=["right"]).check({"authorization": header} if header else {})
    assert refused.value.status == 401
    assert "right" not in refused.value.message


def test_let_in() -> None:
    """Keys come from the environment, so that no command line shows them; without any everybody is let in."""
    access = Access.of({"DYNAMO_API_KEYS": "one, two"})
    access.check({"authorization": "Bearer two"})
    access.check({"authorization": "bearer one"})
    Access().check({})


def test_origins() -> None:
    """Only named origins may read answers; `*` means all, none means none."""
    access = Access.of({"DYNAMO_CORS_ORIGINS": "https://a.example"})
    ours = {"origin": "https://a.example"}
    assert dict(access.cross_origin(ours))[b"access-control-allow-origin"] == b"https://a.example"
    allowed = dict(access.preflight(ours))
    assert b"access-control-allow-origin" not in allowed  # every answer has it
    assert b"authorization" in allowed[b"access-control-allow-headers"]
    assert access.preflight({"origin": "https://b.example"}) == ()
    assert dict(Access(origins=["*"]).cross_origin({"origin": "x"})) == {b"access-control-allow-origin": b"*"}
    assert Access().cross_origin({"origin": "https://a.example"}) == ()
