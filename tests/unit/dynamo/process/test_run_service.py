"""What a worker makes of its folder and its command line."""

from __future__ import annotations

import json

import pytest

from dynamo import worker
from dynamo.process import run_service
from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph, ServiceSpec


@pytest.fixture
def bento(tmp_path, monkeypatch):
    graph = ServiceGraph(
        target="m:S", entry="S", services=(ServiceSpec(name="S", module="no_such_module", qualname="S"),)
    )
    (tmp_path / "graph.json").write_bytes(codec.encode_canonical(graph))
    (tmp_path / "config.json").write_text(json.dumps({"S": {"ServiceArgs": {"workers": 3}, "a": 1}}))
    monkeypatch.setenv("DYNAMO_BENTO", str(tmp_path))
    return tmp_path


def test_configuration_is_applied(bento):
    """The graph is as configured; the environment wins over the folder, key by key."""
    environment = {"DYNAMO_BENTO": str(bento), "DYNAMO_SERVICE_CONFIG": '{"S": {"b": 2}}'}
    graph, settings = run_service.read_bento(environment)
    assert graph.service("S").workers == 3
    assert {key: settings["S"][key] for key in ("a", "b")} == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "DYNAMO_BENTO is not set"),
        ({"DYNAMO_BENTO": "/nonexistent"}, "cannot read the graph"),
        ({"DYNAMO_SERVICE_CONFIG": "{"}, "not JSON"),
        ({"DYNAMO_SERVICE_CONFIG": '{"T": {}}'}, "unknown service `T`"),
    ],
)
def test_what_cannot_be_read(bento, environment, message):
    """A folder or variable that is wrong is named."""
    if "DYNAMO_SERVICE_CONFIG" in environment:
        environment = {"DYNAMO_BENTO": str(bento), **environment}
    with pytest.raises(run_service.StartError, match=message):
        run_service.read_bento(environment)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["S", "T"], 2, "usage"),
        (["--help"], 2, "usage"),
        (["T"], 17, "the graph has no service `T`; it has S"),
        (["S"], 17, "cannot import `no_such_module`"),
    ],
)
def test_command_line(bento, capsys, arguments, code, message):
    """A mistake is one line and the documented code."""
    assert worker.main(arguments) == code
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_time_to_drain_that_is_none(bento, capsys, monkeypatch):
    """One line with the variable."""
    monkeypatch.setenv("DYNAMO_DRAIN_SECONDS", "soon")
    assert worker.main(["S"]) == 17
    assert "DYNAMO_DRAIN_SECONDS is `soon`" in capsys.readouterr().err
