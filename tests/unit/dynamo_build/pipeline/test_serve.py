"""What `serve` resolves before anything is started, and how it ends when nothing has begun."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import pytest

from dynamo_build.errors import GraphError, ServeError, UsageError
from dynamo_build.pipeline.serve import ServeOptions, effective, resolve, serve

CODE = """
from dynamo.sdk import api, service

@service(workers=2, envs=[{"name": "A", "value": "1"}])
class Front:
    def __init__(self, greeting="hi"): ...
    @api
    async def say(self): ...
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "graph.py").write_text(CODE)
    (tmp_path / "config.yaml").write_text("Front: {greeting: file, other: 1}")
    return tmp_path


def test_precedence(project, monkeypatch):
    """Command line over environment over file over decorator over constructor; mappings merge."""
    front = effective(resolve("graph:Front", project, ServeOptions()))["Front"]
    assert front["greeting"] == "hi"
    assert (front["ServiceArgs"]["workers"], front["ServiceArgs"]["envs"]) == (2, {"A": "1"})
    file = project / "config.yaml"
    assert effective(resolve("graph:Front", project, ServeOptions(config_file=file)))["Front"]["greeting"] == "file"
    monkeypatch.setenv("DYNAMO_SERVICE_CONFIG", '{"Front": {"greeting": "environment"}}')
    front = effective(resolve("graph:Front", project, ServeOptions(config_file=file)))["Front"]
    assert (front["greeting"], front["other"]) == ("environment", 1)
    arguments = ("--Front.greeting=argument", "--Front.ServiceArgs.resources.cpu=4")
    front = effective(resolve("graph:Front", project, ServeOptions(config_file=file, arguments=arguments)))["Front"]
    assert (front["greeting"], front["other"]) == ("argument", 1)
    assert (front["ServiceArgs"]["workers"], front["ServiceArgs"]["resources"]["cpu"]) == (2, "4")


def test_mistakes(project, monkeypatch):
    """Unknown names are refused before anything is started."""
    with pytest.raises(UsageError, match="no service `Nobody`"):
        resolve("graph:Front", project, ServeOptions(service_name="Nobody"))
    with pytest.raises(UsageError, match="not the address of a dependency"):
        resolve("graph:Front", project, ServeOptions(depends=("Front",)))
    with pytest.raises(GraphError):
        resolve("graph:Front", project, ServeOptions(arguments=("--Nobody.x=1",)))
    monkeypatch.setenv("DYNAMO_SERVICE_CONFIG", "{")
    with pytest.raises(UsageError, match="DYNAMO_SERVICE_CONFIG is neither JSON nor YAML"):
        resolve("graph:Front", project, ServeOptions())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_before_the_supervisor_heeds_it(project, monkeypatch, number):
    """The supervisor dies by the signal that is passed on, which is no failure; one that comes from elsewhere is."""
    who = {"pid": os.getpid()}

    @contextlib.contextmanager
    def deaf(*_):
        with subprocess.Popen(["sleep", "60"]) as process:
            yield process, lambda: os.kill(who.get("pid") or process.pid, number)

    monkeypatch.setattr("dynamo_build.pipeline.serve._start_supervisor", deaf)
    assert serve("graph:Front", project, ServeOptions()) == 0
    who.clear()
    with pytest.raises(ServeError, match=f"the supervisor was killed by {number.name}"):
        serve("graph:Front", project, ServeOptions())
