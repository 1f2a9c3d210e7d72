"""The target and the engine of docs/how-to/extend.md, found by the entry points that the page shows, work."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo.engines.choice import start_engine
from dynamo.engines.engine import EngineRequest
from dynamo_build import catalog
from dynamo_build.errors import DeployError
from dynamo_build.events import ignore
from dynamo_build.model.deployment import SecretReference
from dynamo_build.seams import DeployTarget
from support.deployments import deployment, disaggregated_graph, hello_graph
from support.documents import ROOT, blocks

SECRET = SecretReference(variable="HF_TOKEN", secret="hf", key="token")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's distribution, as the page lays it out."""
    found = list(blocks(ROOT / "docs/how-to/extend.md"))
    nomad, shout = (block.text for block in found if block.language == "python")
    (points,) = (block.text for block in found if block.language == "ini")
    package, information = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    for folder, name, text in (
        (package, "__init__.py", ""),
        (package, "nomad.py", nomad),
        (package, "shout.py", shout),
        (information, "entry_points.txt", points),
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def target() -> DeployTarget:
    """The page's target."""
    return catalog.find_target("nomad", catalog.default_surroundings())


def test_the_target_renders(target: DeployTarget) -> None:
    """A group for each service and one for NATS; devices, and where secrets are."""
    made = deployment(disaggregated_graph(), target="nomad", workload={"secrets": (SECRET,)})
    (item,) = target.render(made).items
    tasks = [group["Tasks"][0] for group in item.document["Job"]["TaskGroups"]]
    assert [task["Name"] for task in tasks] == ["nats", *(one.service for one in made.workloads)]
    assert {task["Env"]["HF_TOKEN"] for task in tasks[1:]} == {"${hf.token}"}
    assert any("Devices" in task.get("Resources", {}) for task in tasks)


def test_the_target_refuses(target: DeployTarget) -> None:
    """Options that it does not know, and to apply."""
    with pytest.raises(DeployError, match="nomad has no `x`"):
        target.render(deployment(hello_graph(), target="nomad", options={"x": "1"}))
    with pytest.raises(DeployError, match="only renders"):
        target.apply(target.render(deployment(hello_graph(), target="nomad")), ignore)


@pytest.mark.parametrize(
    ("limit", "said", "reason"), [(9, b"HEY!", "stop"), (2, b"HE", "length")], ids=["whole", "limited"]
)
async def test_the_engine_shouts(limit: int, said: bytes, reason: str) -> None:
    """As far as it may, with the reason of the end."""
    engine = await start_engine({"engine": "shout"})
    request = EngineRequest(id="r", tokens=tuple(b"hey!"), max_tokens=limit)
    steps = [step async for step in engine.generate(request)]
    assert bytes(token for step in steps for token in step.tokens) == said
    assert steps[-1].finish_reason == reason
    await engine.close()
