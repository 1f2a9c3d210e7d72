"""Every code block of the documents that describe the system is a row: it runs as printed, runs in a named frame, is run
by a test that serves it, or cannot run, with the reason. A block without a row fails.
"""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

import pytest
import yaml

from dynamo.sdk import config
from dynamo.sdk.context import dynamo_context
from dynamo.sdk.decorators import Service, endpoints_of
from dynamo.sdk.describe.assemble import assemble_graph
from support.in_process import ended, made, running
from support.seeds import FOLDER, blocks, execute, framed

SERVED = "tests/integration/test_serve_seeds.py"


class Row(NamedTuple):
    """How a block is held: `printed`, `framed`, `served` (by the test named in `why`) or `not`, and why."""

    how: str
    why: str = ""


TABLE = {
    "0-01.sh": Row("not", "installs another project's distribution; README.md says what is installed instead"),
    "0-02.py": Row("printed"),
    "0-03.sh": Row("served", "test_hello_world"),
    "0-04.py": Row("framed", "an assignment out of the class that it belongs to"),
    "1-01.sh": Row("not", "installs another project's distribution"),
    "2-01.sh": Row("not", "installs another project's distribution"),
    "2-02.py": Row("framed", "a decorator without its class"),
    "2-03.py": Row("framed", "needs the module ServiceB, an engine and the imports from dynamo.sdk"),
    "2-04.py": Row("framed", "shows a client in place of depends; needs a runtime and ServiceB"),
    "2-05.py": Row("framed", "the inside of a hook; needs the module VllmWorker and a runtime"),
    "2-06.py": Row("framed", "a hook without its class, and what it awaits"),
    "2-07.py": Row("framed", "a hook without its class"),
    "2-08.py": Row("framed", "needs the import of service"),
    "2-09.yaml": Row("printed"),
    "2-10.sh": Row("served", "test_service_with_a_file"),
    "2-11.py": Row("framed", "needs a configuration that holds api_key"),
    "2-12.py": Row("framed", "needs the library's parser"),
    "2-13.py": Row("framed", "needs vLLM's parser and arguments"),
    "2-14.yaml": Row("printed"),
    "2-15.py": Row("framed", "a method without its class, and its imports"),
    "2-16.py": Row("framed", "needs its imports"),
    "2-17.yaml": Row("printed"),
    "2-18.sh": Row("served", "test_the_effective_values"),
    "2-19.py": Row("framed", "needs its base class and the services it depends on"),
    "2-20.py": Row("framed", "needs the services it links"),
    "3-01.py": Row("not", "its class line lacks the colon; tests/graphs/multi_step has the method"),
    "3-02.sh": Row("served", "test_multi_step"),
    "3-03.py": Row("not", "`@service(...)` and a call stand for code left out; tests/graphs/multi_step has it"),
    "3-04.py": Row("not", "`@service(...)`, `self` and `...` stand for code left out; tests/graphs/multi_step has it"),
    "4-01.py": Row("framed", "needs the types of its request and answer"),
    "4-02.py": Row("printed"),
    "4-03.py": Row("framed", "a method without its class, and vLLM's protocol"),
    "4-04.py": Row("printed"),
    "4-05.py": Row("served", "test_text_processor"),
    "4-06.txt": Row("not", "two lines of what is to be written; no code"),
    "4-07.py": Row("framed", "needs its imports and the types of its requests"),
    "4-08.py": Row("not", "a try without a statement, which is no Python"),
    "4-09.py": Row("framed", "a decorator without its class"),
    "4-10.py": Row("framed", "a method without its class"),
}
FRAMED = [name for name, row in TABLE.items() if row.how == "framed"]
PRINTED = [name for name, row in TABLE.items() if row.how == "printed"]


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch):
    """The modules that the documents name, and no configuration of the test before."""
    monkeypatch.syspath_prepend(str(FOLDER / "modules"))
    config.ServiceConfig.set_instance(None)
    yield
    config.ServiceConfig.set_instance(None)
    dynamo_context.clear()
    for name in ("ServiceB", "VllmWorker"):
        sys.modules.pop(name, None)
    for name in [each for each in sys.modules if each.split(".")[0] == "vllm"]:
        del sys.modules[name]


def test_every_block_is_a_row():
    """No block is forgotten, no row is without its block, and no number is left out."""
    names = list(blocks())
    assert names == sorted(TABLE)
    counts = {document: [name for name in names if name[0] == document] for document in "01234"}
    assert {document: len(found) for document, found in counts.items()} == {"0": 4, "1": 1, "2": 20, "3": 4, "4": 10}
    for found in counts.values():
        assert [int(name[2:4]) for name in found] == list(range(1, len(found) + 1))


def test_every_row_says_enough():
    """A frame is there where one is named, a reason where a block cannot run, a test where one serves it."""
    frames = {path.name for path in (FOLDER / "frames").iterdir()}
    assert frames == set(FRAMED)
    tests = (FOLDER.parents[2] / SERVED).read_text()
    for name, row in TABLE.items():
        assert row.how == "printed" or row.why, name
        if row.how == "served":
            assert f"def {row.why}(" in tests, name


def graph_of(name: str):
    """The graph below a service of the block's module."""
    entry = sys.modules["block"].__dict__[name]
    for each in vars(sys.modules["block"]).values():
        if isinstance(each, Service):
            each.inner.__qualname__ = each.inner.__name__
    found = assemble_graph(f"block:{name}", entry, ".", frozenset(), ())
    assert found.graph is not None, found.problems
    return found.graph


@pytest.mark.parametrize("name", FRAMED)
def test_a_block_runs_in_its_frame(name):
    """What the document says of it is asserted in the frame."""
    execute(framed(name), "block", running=running, made=made, ended=ended, graph_of=graph_of)


@pytest.mark.parametrize("name", [name for name in PRINTED if name.endswith(".py")])
def test_a_block_runs_as_printed(name):
    """As a file of its own, without a line around it."""
    found = execute((FOLDER / name).read_text(), "block")
    for each in found.values():
        if isinstance(each, Service):
            assert endpoints_of(each.inner)
            assert not each.problems


@pytest.mark.parametrize("name", [name for name in PRINTED if name.endswith(".yaml")])
def test_a_configuration_is_valid_as_printed(name):
    """Against the service that the document gives before it; every key of ServiceArgs is known and effective."""
    given = yaml.safe_load((FOLDER / name).read_text())
    (service,) = given
    code = execute(framed("2-16.py" if service == "LLMService" else "2-08.py"), "block", made=made)
    graph = graph_from(code[service])
    assert config.validate_config(graph, given) == ()
    assert config.near_misses(graph, given) == ()
    spec = config.apply_config(graph, given).service(service)
    wanted = given[service]["ServiceArgs"]
    assert spec.workers == wanted["workers"]
    assert spec.resources.gpu == str(wanted["resources"]["gpu"])
    assert spec.resources.memory == wanted["resources"].get("memory", graph.service(service).resources.memory)
    assert spec.namespace == wanted.get("dynamo", {}).get("namespace", graph.service(service).namespace)


def graph_from(service: Service):
    """A graph of one service."""
    sys.modules.setdefault("block", importlib.import_module("types").ModuleType("block"))
    try:
        found = assemble_graph("block:S", service, ".", frozenset(), ()).graph
    finally:
        sys.modules.pop("block", None)
    assert found is not None
    return found
