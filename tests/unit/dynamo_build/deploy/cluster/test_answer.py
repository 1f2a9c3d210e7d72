"""Answers of an API server as one line."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.cluster.answer import build_answer_error, parse_answer

TYPO = "failed to create typed patch object (demo/a; apps/v1, Kind=Deployment): .spec.x: field not declared in schema"


def body(message: str, causes: str = "") -> bytes:
    return f'{{"message": "{message}", "details": {{"causes": [{causes}]}}}}'.encode()


@pytest.mark.parametrize(
    ("status", "message", "temporary"),
    [(500, TYPO, False), (500, "failed to convert new object (x) to proper version", False), (500, "etcd is gone", True),
     (503, "", True), (429, "", True), (422, "", False), (409, "", False)],
)  # fmt: skip
def test_a_mistake_in_a_manifest_is_not_temporary(status: int, message: str, temporary: bool) -> None:
    """Server-side apply answers a typo with 500: asking again would loop for ever."""
    assert parse_answer(status, body(message), {}).is_temporary is temporary


@pytest.mark.parametrize(
    ("status", "text", "line"),
    [
        (500, body(TYPO), "Deployment/a is invalid: .spec.x: field not declared in schema"),
        (422, body("long", '{"field": "spec", "message": "no"}'), "Deployment/a is invalid: spec: no"),
        (401, b"{}", "the cluster does not know you"),
        (403, body("deployments is forbidden: User x cannot patch"), "Deployment/a: deployments is forbidden: User x"),
        (409, body("Apply failed with 1 conflict"), "Deployment/a: Apply failed with 1 conflict"),
        (404, body("namespaces x not found"), "Deployment/a: namespaces x not found"),
        (404, body("could not find the requested resource"), "Deployment/a: could not find"),
        (418, b"<html>tea</html>", "the cluster answered 418: <html>tea</html>"),
    ],
)
def test_one_line_for_each(status: int, text: bytes, line: str) -> None:
    """Who may not what, which field, which manager."""
    assert line in build_answer_error(parse_answer(status, text, {}), "Deployment/a").message


def test_warnings_and_patience() -> None:
    """Warning headers hold quotes and commas; Retry-After is seconds."""
    answer = parse_answer(201, b"", {"Warning": '299 - "a \\"b\\", c", 299 - "d"', "Retry-After": "3"})
    assert answer.warnings == ('a "b", c', "d")
    assert answer.retry_after == 3.0
    assert parse_answer(200, b"", {"Retry-After": "soon"}).retry_after is None
