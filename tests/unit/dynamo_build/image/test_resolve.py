"""Mentions of services in YAML."""

from __future__ import annotations

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.image.resolve import Mention, find_mentions, replace_mentions

TEXT = """\
# dynamo://old:1/Nobody stays
image: dynamo://hello:1234e56/Backend  # the worker
args: ["dynamo://hello:latest/Frontend", 'dynamo://hello:1234e56/Backend']
env: dynamo://inference/Backend
flow: {image: dynamo://hello:1234e56/Backend}\r
"""
BACKEND, FRONTEND = Mention("hello", "1234e56", "Backend"), Mention("hello", "", "Frontend")


def test_found_once_and_in_order() -> None:
    """Not in comments; an address of a running service is none."""
    assert find_mentions(TEXT, "a.yaml") == (BACKEND, FRONTEND)
    assert str(FRONTEND) == "dynamo://hello:latest/Frontend"


def test_all_else_stays() -> None:
    """Comments, quotes, order, line ends."""
    found = replace_mentions(TEXT, {BACKEND: "r.example/b@sha256:1", FRONTEND: "r.example/f@sha256:2"}, "a.yaml")
    assert found == TEXT.replace("dynamo://hello:1234e56/Backend", "r.example/b@sha256:1").replace(
        "dynamo://hello:latest/Frontend", "r.example/f@sha256:2"
    )


@pytest.mark.parametrize(
    "text", ["dynamo://Hello:1/A", "dynamo://hello:1", "dynamo://hello:1/", "dynamo://hello:1/a-b", "dynamo://:/A"]
)
def test_what_is_not_right_has_a_line(text: str) -> None:
    """File and line, and how to write it."""
    with pytest.raises(UsageError, match=r"a\.yaml:2: ") as caught:
        find_mentions(f"a: 1\nimage: {text}\n", "a.yaml")
    assert caught.value.hints == ("Write it as `dynamo://name:version/Service`.",)
