"""A module of another SDK leads to ours only where a project makes services with it."""

from __future__ import annotations

import textwrap

import pytest

from dynamo.sdk.compatible import decorates
from dynamo_build.errors import GraphError
from dynamo_build.graph.child import explore_graph

SERVICE = """
import bentoml

@bentoml.service(resources={"gpu": 1, "gpu_type": "a100"}, traffic={"concurrency": 8, "max_concurrency": 9})
class Svc:
    @bentoml.api
    def tell(self, word: str, times: int) -> str:
        return word * times
"""


def described(folder, text, **files):
    (folder / "service.py").write_text(textwrap.dedent(text))
    for name, content in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(content))
    return explore_graph("service:Svc", folder)


def problems(folder, text):
    with pytest.raises(GraphError) as failed:
        described(folder, text)
    return [f"{each.where}: {each.message}" for each in failed.value.problems]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import bentoml\n@bentoml.service\nclass A: ...", ("bentoml",)),
        ("import bentoml as b\n@b.service(workers=2)\nclass A: ...", ("bentoml",)),
        ("from bentoml import api, service as s\n@s()\nclass A: ...", ("bentoml",)),
        ("import bentoml\nfrom dynamo.sdk import service\n@service\nclass A: ...", ()),
        ("# bentoml.service\nclass A: ...", ()),
        ("import bentoml\nbentoml.models.get('a')", ()),
        ("import bentoml\n@bentoml.service\nclass A(", ()),
    ],
)
def test_decorates(text, names):
    """It is a decorator of a class, under whatever name it was imported."""
    assert decorates(text.encode()) == names


def test_graph(tmp_path):
    """A route and an endpoint for each method, whose name says where its worker finds `bentoml`."""
    graph = described(tmp_path, SERVICE).graph
    (service,) = graph.services
    assert (service.resources.gpu, service.traffic) == ("1", {"max_concurrency": 9})
    assert {(each.name, each.transport) for each in service.endpoints} == {("tell", "http"), ("tell", "dynamo")}
    assert service.envs == {"DYNAMO_COMPATIBILITY": "bentoml"}
    assert graph.stand_ins == ()


def test_helper_asks_first(tmp_path):
    """A helper of the service's module may be the first to import it."""
    text = "from helper import LONG\n" + SERVICE
    assert described(tmp_path, text, helper="import bentoml\nLONG = bentoml.Field(default=3)\n").graph


def test_another_use(tmp_path):
    """A graph of ours that uses `bentoml` for something else gets the package itself."""
    text = """
    import bentoml
    from dynamo.sdk import api, service

    @service
    class Svc:
        @api
        async def tell(self) -> str:
            return bentoml.SAID
    """
    assert described(tmp_path, text, bentoml="SAID = 'itself'").modules == ("bentoml.py", "service.py")


def test_own_line(tmp_path):
    """What has no counterpart is named with the line that asks for it."""
    found = problems(tmp_path, SERVICE + "\nclassifier = bentoml.models.get('a')\n")
    assert found == ["service.py:10: `bentoml.models` is not taken over"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("from bentoml import task", "`bentoml.task` is not taken over"),
        ("from bentoml.validators import Shape", "`bentoml.validators` is not taken over"),
        ("other = bentoml.depends(url='http://a')", "`depends(url=…)` is not taken over"),
        ("@bentoml.api(input_spec=int)\ndef a(self): ...", "`input_spec=` is not taken over"),
    ],
)
def test_not_taken_over(tmp_path, line, told):
    """Each in one line."""
    (found,) = problems(tmp_path, f"{SERVICE}\n{line}\n")
    assert found == f"service.py:10: {told}"


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("text: str, /", "`tell(text)` is the whole body of a request"),
        ("text: Path", "`tell(text)` is a file or an array"),
        ("text: bentoml.Context", "`bentoml.Context` is not taken over"),
    ],
)
def test_arguments(tmp_path, argument, told):
    """Arguments that JSON does not carry are found before anything runs."""
    text = SERVICE.replace("word: str, times: int", argument).replace(
        "import bentoml", "import bentoml\nfrom pathlib import Path"
    )
    (found,) = problems(tmp_path, text)
    assert found.partition(": ")[2] == told
