"""An engine of a distribution from outside this tree, found by its entry point and driven as a worker drives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo.coordination.discovery import MemoryDiscovery
from dynamo.engines.choice import start_engine
from dynamo.engines.engine import EngineRequest
from dynamo.engines.serving import EngineWorker
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.config import ServiceConfig
from dynamo.sdk.context import dynamo_context
from dynamo.sdk.errors import BadConfiguration

MODULE = '''
from dynamo.engines.engine import EngineStep


class Countdown:
    """Counts down from a configured number, and tells routers of one block."""

    def __init__(self, setup):
        self.first, self.closed, self.setup = setup.values["first"], False, setup

    async def generate(self, request):
        for number in range(self.first, 0, -1):
            yield EngineStep(tokens=(number,), finish_reason="stop" if number == 1 else None)

    async def close(self):
        self.closed = True


async def start(setup):
    return Countdown(setup)


def start_at_once(setup):
    return Countdown(setup)
'''


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with engines, as an installer would have left it."""
    metadata = tmp_path / "countdown_engine-1.0.dist-info"
    metadata.mkdir()
    (tmp_path / "countdown_engine.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: countdown-engine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[dynamo.engines]\n"
        "countdown = countdown_engine:start\n"
        "countdown-sync = countdown_engine:start_at_once\n"
        "broken = countdown_engine:absent\n"
        "echo = countdown_engine:start\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", ["countdown", "countdown-sync"])
async def test_a_worker_serves_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`engine: NAME` starts it with the service's configuration; the worker yields its steps and closes it."""
    values = {"engine": name, "first": 3, "block-size": 16}
    monkeypatch.setattr(ServiceConfig, "_instance", ServiceConfig({"Worker": values}))
    runtime = DistributedRuntime(MemoryTransport(), MemoryDiscovery())
    place = {"runtime": runtime, "namespace": "ns", "service_name": "Worker", "instance_id": 7}
    for key, value in place.items():
        monkeypatch.setitem(dynamo_context, key, value)
    async with runtime:
        worker = await EngineWorker.start()
        steps = [step async for step in worker.generate(EngineRequest(id="r", tokens=(1, 2)))]
        assert [step.tokens for step in steps] == [(3,), (2,), (1,)]
        assert steps[-1].finish_reason == "stop"
        assert worker.engine.setup.block_size == 16
        assert worker.engine.setup.arguments[:2] == ("--first", "3")
        await worker.close()
        assert worker.engine.closed


async def test_an_unknown_name_lists_foreign_ones_too() -> None:
    """One line has the known names and the nearest."""
    with pytest.raises(
        BadConfiguration, match=r"embedded, vllm, simulated, echo, .*countdown.*did you mean `countdown`"
    ):
        await start_engine({"engine": "countdwn"})


async def test_one_that_cannot_be_loaded_is_named() -> None:
    """The entry point is in the message."""
    with pytest.raises(BadConfiguration, match=r"`broken` \(`countdown_engine:absent`\) cannot be loaded"):
        await start_engine({"engine": "broken"})


async def test_own_names_are_not_replaced() -> None:
    """An installed distribution does not take over a built-in engine's name."""
    assert type(await start_engine({"engine": "echo"})).__name__ == "EchoEngine"
