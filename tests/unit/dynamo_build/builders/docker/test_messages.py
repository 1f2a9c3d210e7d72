"""What engines say while they build, read from both builders."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.builders.docker.messages import follow_build
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Event, Output, ignore

DONE = {"aux": {"ID": "sha256:1"}}


def field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def trace(*parts: bytes) -> dict[str, Any]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"".join(parts)).decode()}


def lines(*messages: dict[str, Any]) -> list[str]:
    heard: list[Event] = []
    follow_build([*messages, DONE], heard.append)
    return [event.line for event in heard if isinstance(event, Output)]


def test_the_image_is_the_last_id() -> None:
    """The id comes as `aux`, from either builder."""
    assert follow_build([{"stream": "Step 1\n"}, DONE], ignore) == "sha256:1"
    assert follow_build([{"id": "moby.image.id", "aux": {"ID": "sha256:2"}}], ignore) == "sha256:2"


def test_steps_and_output_of_buildkit() -> None:
    """Each step is told once, cached or not, and every line that it writes."""
    step = field(1, field(1, b"sha256:a") + field(3, b"[base 1/2] FROM x"))
    cached = field(1, field(1, b"sha256:b") + field(3, b"[base 2/2] RUN y") + bytes([4 << 3, 1]))
    log = field(3, field(1, b"sha256:b") + field(4, b"one\ntwo\n" + b"x" * 200 + b"\n"))
    said = lines(trace(step), trace(step, cached), trace(log))
    assert said == ["[base 1/2] FROM x", "[base 2/2] RUN y (cached)", "one", "two", "x" * 200]


@given(st.binary(max_size=60))
def test_talk_that_cannot_be_read_is_left_out(content: bytes) -> None:
    """Unknown or damaged status never breaks a build."""
    lines(trace(content))
    lines({"id": "moby.buildkit.trace", "aux": content.decode("latin-1")})


def test_a_failure_says_why() -> None:
    """The error has the engine's words and what the step said last."""
    said = [
        {"stream": "Step 8/23 : RUN pip\n"},
        {"stream": " ---> Running in 1\n"},
        {"stream": "ERROR: no space left\n"},
    ]
    with pytest.raises(ImageBuildError) as caught:
        follow_build([*said, {"error": "The command returned\na non-zero code: 1"}], ignore)
    assert caught.value.message == "the build failed: The command returned a non-zero code: 1\nERROR: no space left"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]", "trust the package index"),
        ("ERROR: No matching distribution found for x==1", "lacks a locked package"),
        ("/usr/bin/python: No module named pip", "needs Python with pip"),
        ("/bin/sh: python: not found", "needs Python with pip"),
    ],
)
def test_common_causes_have_hints(line: str, hint: str) -> None:
    """What goes wrong often says what to do."""
    with pytest.raises(ImageBuildError) as caught:
        follow_build([{"stream": line}, {"error": "exit code: 1"}], ignore)
    assert hint in caught.value.hints[0]


def test_an_end_without_an_image() -> None:
    """A stream that ends early is a failure, not an image without a name."""
    with pytest.raises(ImageBuildError, match="ended the build without an image"):
        follow_build([{"stream": "Step 1"}], ignore)
