"""Unmodified BentoML projects, and what their services answer, there and here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

GRAPHS = Path(__file__).resolve().parent.parent / "graphs"
#: Project → target, and (path, body) → status, content type and answer; JSON is compared as JSON.
TEXT, JSON, EVENTS = "text/plain", "application/json", "text/event-stream"
Asked = tuple[str, dict[str, object], int, str, object]
PROJECTS: dict[str, tuple[str, list[Asked]]] = {
    "bentoml_summary": (
        "service:Summarization",
        [
            ("/summarize", {"text": "A b. C d."}, 200, TEXT, "A b."),
            ("/summarize", {}, 200, TEXT, "Rain fell all night."),
            (
                "/v1/summary",
                {"wanted": {"text": "A b. C d.", "sentences": 2}},
                200,
                JSON,
                {"text": "A b. C d.", "kept": 9, "share": 1.0},
            ),
            ("/v1/summary", {"wanted": {"text": "x", "sentences": 0}}, 400, JSON, None),
            ("/compare", {"first": "a", "second": "A", "ignore_case": True}, 200, JSON, {"same": True, "length": 2}),
            ("/compare", {"first": "a"}, 400, JSON, None),
            ("/lengths", {"texts": ["a", "bb"]}, 200, JSON, [1, 2]),
            ("/state", {}, 200, JSON, {"ready": True}),
            ("/gone", {}, 404, "", None),
        ],
    ),
    "bentoml_generation": (
        "service:Generation",
        [
            ("/words", {"text": "b a B"}, 200, JSON, {"a": 1, "b": 2}),
            ("/total", {"text": "b a b"}, 200, JSON, 3),
            ("/best", {"text": "to be or not"}, 200, JSON, {"word": "not", "length": 3}),
            ("/refused", {}, 404, JSON, None),
            ("/generate", {}, 200, EVENTS, "one one two two "),
            ("/generate", {"prompt": "x y", "max_tokens": 1}, 200, EVENTS, "x y "),
            ("/spelled", {"word": "abc"}, 200, EVENTS, "ABC"),
        ],
    ),
}


def files(name: str) -> dict[str, str]:
    """The project's files by name."""
    return {path.name: path.read_text() for path in sorted((GRAPHS / name).iterdir()) if path.is_file()}


def differing(name: str, post: Callable[..., tuple[int, str, str]]) -> list[str]:
    """Each answer that is not the expected one; `post` takes a path, a body and headers."""
    wrong = []
    for path, body, status, form, expected in PROJECTS[name][1]:
        seen, kind, text = post(path, json.dumps(body), **{"content-type": "application/json"})
        answer = json.loads(text) if expected is not None and form == JSON else text
        if seen != status or not kind.startswith(form) or (expected is not None and answer != expected):
            wrong.append(f"{path} {body}: {seen} {kind} {text}")
    return wrong
