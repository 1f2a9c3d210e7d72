"""More and fewer workers under a supervisor, and the GPUs they get."""

from __future__ import annotations

import signal

import pytest

from dynamo.process import gpus
from dynamo.process.control_commands import scale_service
from dynamo.process.worker_process import Slot
from dynamo.sdk.graph import Resources, ServiceGraph, ServiceSpec


class Place(Slot):
    """A place whose process is told things that a test can read."""

    told_signals: list = []

    def send_signal(self, number, *, group=False):
        self.told_signals.append((self.label, number))


@pytest.fixture(autouse=True)
def quiet():
    Place.told_signals.clear()


def place(service, number, environment=None):
    return Place(
        service=service,
        number=number,
        label=f"{service}:{number}",
        show=print,
        environment=environment or {},
        pid=100 + number,
    )


def graph(gpu="0"):
    services = [
        ServiceSpec(name="Worker", module="m", qualname="Worker", resources=Resources(gpu=gpu)),
        ServiceSpec(name="Other", module="m", qualname="Other", resources=Resources(gpu="1")),
    ]
    return ServiceGraph(target="m:Worker", entry="Worker", services=tuple(services))


def test_more_and_fewer():
    """New workers stand beside the others with the first free numbers; the last ones are told to end."""
    slots, leaving = [place("Worker", 1), place("Other", 1)], []
    said = scale_service(slots, leaving, graph(), "Worker", 3, place)
    assert said == "`Worker` has 3 workers, 1 before"
    assert [slot.label for slot in slots] == ["Worker:1", "Worker:2", "Worker:3", "Other:1"]
    assert scale_service(slots, leaving, graph(), "Worker", 1, place) == "`Worker` has 1 worker, 3 before"
    assert [slot.label for slot in slots] == ["Worker:1", "Other:1"]
    assert [slot.label for slot in leaving] == ["Worker:2", "Worker:3"]
    assert all(slot.ending for slot in leaving)
    assert Place.told_signals == [("Worker:2", signal.SIGTERM), ("Worker:3", signal.SIGTERM)]


@pytest.mark.parametrize("workers", [0, -1, True, "2", 1.5, None, 10_000])
def test_what_is_no_number(workers):
    """Nothing is changed, and the answer says what is allowed."""
    slots = [place("Worker", 1)]
    assert scale_service(slots, [], graph(), "Worker", workers, place).startswith("error: ")
    assert len(slots) == 1


def test_gpus_that_are_free(monkeypatch):
    """A new worker gets GPUs that nobody has, those of a leaving worker not yet; without any, nothing is changed."""
    monkeypatch.setattr(
        gpus, "list_devices", lambda: tuple(gpus.Device(index=index, uuid=f"GPU-{index}") for index in range(3))
    )
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    slots = [place("Worker", 1, {gpus.VISIBLE: "0"}), place("Other", 1, {gpus.VISIBLE: "1"})]
    leaving = []
    assert not scale_service(slots, leaving, graph("1"), "Worker", 2, place).startswith("error")
    assert slots[1].environment == {gpus.VISIBLE: "2"}
    assert scale_service(slots, leaving, graph("1"), "Worker", 3, place) == "error: no GPU is left for another `Worker`"
    scale_service(slots, leaving, graph("1"), "Worker", 1, place)
    assert scale_service(slots, leaving, graph("1"), "Worker", 2, place).startswith("error: no GPU")
    leaving.clear()
    assert not scale_service(slots, leaving, graph("1"), "Worker", 2, place).startswith("error")


def test_parts_of_a_gpu(monkeypatch):
    """Halves share a device that has room for both."""
    monkeypatch.setattr(gpus, "list_devices", lambda: (gpus.Device(index=0, uuid="GPU-0"),))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    slots = [place("Worker", 1, {gpus.VISIBLE: "0"})]
    assert not scale_service(slots, [], graph("0.5"), "Worker", 2, place).startswith("error")
    assert slots[1].environment == {gpus.VISIBLE: "0"}
    assert scale_service(slots, [], graph("0.5"), "Worker", 3, place).startswith("error: no GPU")
