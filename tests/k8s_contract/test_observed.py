"""Thirty objects with one fault each: the server answers as a real 1.36 server was seen to, and `--check` sees it first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.strict_check import check_documents

FOLDER = Path(__file__).parent / "observed"
CASES = json.loads((FOLDER / "expected.json").read_text())
#: What no API server looks at, and what it only warns of.
ACCEPTED = {case["case"] for case in CASES if case["apply"] == "201"}


def good() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "good.yaml").read_text()))


def broken(case: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{case}.yaml").read_text())
    return found


def moved(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    if document["metadata"].get("namespace") == "demo":
        document["metadata"]["namespace"] = namespace
    return document


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_the_server_answers_as_seen(server: Any, case: dict[str, Any]) -> None:
    """Status of an apply and of a strict POST, and the fields that it names."""
    document = moved(broken(case["case"]), server.namespace)
    applied = server.apply(document, dryRun="All")
    created = server.create(document, dryRun="All")
    assert str(applied.status) == case["apply"].split()[0], applied.message
    assert str(created.status) == case["create_strict"].split()[0], created.message
    assert {cause.partition(": ")[0] for cause in applied.causes} == set(case["causes"])


@pytest.mark.parametrize("case", [case["case"] for case in CASES])
def test_it_is_seen_before_a_request_is_sent(case: str) -> None:
    """At the field that the server names, where it names one."""
    fault = broken(case)
    documents = [fault if _same(item, fault) else item for item in good()]
    if fault not in documents:
        documents.append(fault)
    before = {str(finding) for finding in check_documents(good(), "demo")}
    found = [finding for finding in check_documents(documents, "demo") if str(finding) not in before]
    assert found, "nothing was seen"
    causes = next(item["causes"] for item in CASES if item["case"] == case)
    assert not causes or any(_near(finding.path, cause) for finding in found for cause in causes)
    assert any(not finding.warning for finding in found) or case in ACCEPTED


def test_the_control() -> None:
    """No error in what a real server accepts."""
    assert [str(finding) for finding in check_documents(good(), "demo") if not finding.warning] == []


def _same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return bool(left["kind"] == right["kind"] and left["metadata"]["name"] == right["metadata"]["name"])


def _near(path: str, cause: str) -> bool:
    return path.startswith(cause) or cause.startswith(path)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["case"] not in ACCEPTED], ids=lambda case: case["case"]
)
def test_a_refusal_is_one_line_with_the_field(server: Any, case: dict[str, Any]) -> None:
    """What reaches the user when nobody ran `--check`."""
    document = moved(broken(case["case"]), server.namespace)
    name = f"{document['kind']}/{document['metadata']['name']}"
    error = build_answer_error(server.apply(document, dryRun="All"), name)
    assert error.message.startswith(name) and "\n" not in error.message
    assert all(cause in error.message for cause in case["causes"])
    assert error.hints
