"""The configuration of a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import GraphError, UsageError
from dynamo_build.graph.config import configure, read
from support.projects import GRAPH


def test_arguments_over_the_file_deeply() -> None:
    """One argument replaces one value and nothing beside it."""
    file = {"Frontend": {"a": {"b": 1, "c": 2}, "ServiceArgs": {"workers": 2, "resources": {"gpu": "1"}}}}
    found = configure(GRAPH, file, ["--Frontend.a.b=-3", "--Frontend.ServiceArgs.resources.cpu=4"])
    assert found["Frontend"]["a"] == {"b": -3, "c": 2}
    assert found["Frontend"]["ServiceArgs"] == {"workers": 2, "resources": {"gpu": "1", "cpu": 4}}
    assert file["Frontend"]["a"] == {"b": 1, "c": 2}


def test_all_problems_at_once() -> None:
    """An unknown service and a literal secret are told of together."""
    with pytest.raises(GraphError, match="2 problems") as caught:
        configure(GRAPH, {"Fronted": {"x": 1}, "Frontend": {"db": {"password": "hunter2"}}}, [])
    text = " ".join(problem.message + problem.hint for problem in caught.value.problems)
    assert "Frontend.db.password" in text and "${env:NAME}" in text and "hunter2" not in text


@pytest.mark.parametrize("value", ["${env:TOKEN}", "${secret:keys/hf-token}", "", None, 3])
def test_references_are_fine_under_a_secret_name(value: object) -> None:
    """What the worker resolves, and what is no text."""
    assert configure(GRAPH, {"Frontend": {"api_key": value}}, [])["Frontend"]["api_key"] == value


def test_names_that_only_look_secret() -> None:
    """A tokenizer or a number of tokens is no secret."""
    config = {"Frontend": {"tokenizer": "llama", "max_tokens": 5, "token_budget": "high", "key": "x"}}
    assert configure(GRAPH, config, []) == config


def test_a_wrong_argument_is_a_usage_error() -> None:
    """The argument is named."""
    with pytest.raises(UsageError, match="--x"):
        configure(GRAPH, {}, ["--x=1"])


def test_reading_a_file(tmp_path: Path) -> None:
    """An empty file is no configuration."""
    (tmp_path / "c.yaml").write_text("Frontend:\n  a: [1, null]\n")
    assert read(tmp_path / "c.yaml") == {"Frontend": {"a": [1, None]}}
    (tmp_path / "c.yaml").write_text("")
    assert read(tmp_path / "c.yaml") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [\n", r"c\.yaml:2: not YAML"),
        ("- a\n", "not a mapping"),
        ("1: 2\n", "key 1"),
        ("a: 2020-01-01\n", "date"),
        ("a: .nan", "float"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    """With file and line where there is one."""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read(tmp_path / "c.yaml")
    assert "\n" not in caught.value.message
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["${secret:name}", "${env:A-B}", "x ${secret:Name/key} y", "${env:", "${secret:/k}"])
def test_what_begins_like_a_reference_and_is_none(text: str) -> None:
    """The worker would take it for the value."""
    with pytest.raises(GraphError) as caught:
        configure(GRAPH, {"Frontend": {"a": [text]}}, [])
    assert "invalid reference" in caught.value.problems[0].message
    assert configure(GRAPH, {"Frontend": {"a": "$x ${x} $env:x"}}, [])
