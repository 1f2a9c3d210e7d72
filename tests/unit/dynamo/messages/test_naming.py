"""Names on the network."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.messages import naming


def test_split():
    """Addresses come apart; an endpoint may hold slashes or be missing."""
    assert naming.parse_address(naming.format_path("ns", "Worker", "chat/completions")) == (
        "ns",
        "Worker",
        "chat/completions",
    )
    assert naming.parse_address("dynamo://ns/Worker") == ("ns", "Worker", "")
    with pytest.raises(ValueError, match="namespace/component"):
        naming.parse_address("Worker")


@given(st.text(max_size=20), st.text(max_size=20))
def test_tokens_are_distinct_and_legal(one, other):
    """Two names never share a token, and every token is legal in a key."""
    assert re.fullmatch(r"[A-Za-z0-9_=-]*", naming.encode_token(one))
    assert (one == other) == (naming.encode_token(one) == naming.encode_token(other))


@pytest.mark.parametrize("name", ["", "plain", "a/b.c", "worker 7", "=20", "ü%25", "*>"])
def test_a_token_tells_its_name(name):
    """Nothing is lost on the way to a NATS subject and back."""
    assert naming.decode_token(naming.encode_token(name)) == name
