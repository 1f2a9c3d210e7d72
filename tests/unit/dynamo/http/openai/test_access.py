"""Keys and origins."""

from __future__ import annotations

import pytest

from dynamo.http.openai.access import Access
from dynamo.http.openai.error_body import Failure


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic right", "right", "Bearer right x"])
def test_refused(header: str) -> None:
    """Only `Bearer` with one of the keys is let in."""
    with pytest.raises(Failure) as refused:
        Access(keys=["right"]).check_key({"authorization": header} if header else {})
    assert refused.value.status == 401
    assert "right" not in refused.value.message


def test_let_in() -> None:
    """Keys come from the environment, so that no command line shows them; without any everybody is let in."""
    access = Access.from_environment({"DYNAMO_API_KEYS": "one, two"})
    access.check_key({"authorization": "Bearer two"})
    access.check_key({"authorization": "bearer one"})
    Access().check_key({})


def test_origins() -> None:
    """Only named origins may read answers; `*` means all, none means none."""
    access = Access.from_environment({"DYNAMO_CORS_ORIGINS": "https://a.example"})
    ours = {"origin": "https://a.example"}
    assert dict(access.build_cors_headers(ours))[b"access-control-allow-origin"] == b"https://a.example"
    allowed = dict(access.build_preflight_headers(ours))
    assert b"access-control-allow-origin" not in allowed  # every answer has it
    assert b"authorization" in allowed[b"access-control-allow-headers"]
    assert access.build_preflight_headers({"origin": "https://b.example"}) == ()
    assert dict(Access(origins=["*"]).build_cors_headers({"origin": "x"})) == {b"access-control-allow-origin": b"*"}
    assert Access().build_cors_headers({"origin": "https://a.example"}) == ()
