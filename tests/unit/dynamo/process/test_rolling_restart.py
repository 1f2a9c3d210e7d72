"""A rolling restart, step by step."""

from __future__ import annotations

import signal

import pytest

from dynamo.process import rolling_restart
from dynamo.process.rolling_restart import Replacing
from dynamo.process.worker_process import Slot


class Place(Slot):
    """A slot whose process is only a number."""

    def send_signal(self, number: int, *, group: bool = False) -> None:
        told.append((self.label, self.pid, number))

    def create_successor(self) -> Place:
        return Place(
            service=self.service, number=self.number, label=self.label, show=self.show, environment=self.environment
        )


told: list[tuple[str, int, int]] = []


class Stage:
    """Workers 1, 2, …; each that is started is the next hundred."""

    def __init__(self, count: int, **environment: str) -> None:
        told.clear()
        self.said: list[str] = []
        self.leaving: list[Slot] = []
        self.started: list[Slot] = []
        self.slots: list[Slot] = [
            Place(
                service="S",
                number=number,
                label=f"S:{number}",
                show=print,
                pid=number,
                ready=True,
                environment=environment,
            )
            for number in range(1, count + 1)
        ]
        self.one = Replacing(list(self.slots), self.start, self.said.append, self.leaving)

    def start(self, slot: Slot) -> None:
        self.started.append(slot)
        slot.pid = 100 * len(self.started)

    def pids(self) -> list[int]:
        return [slot.pid for slot in self.slots]


def test_the_new_worker_is_ready_before_the_old_one_ends():
    """One after the other; the old one is told only then, and the next waits until it is gone."""
    stage = Stage(2)
    assert stage.one.advance_restart(stage.slots)
    assert (stage.pids(), told) == ([1, 2], [])
    stage.one.advance_restart(stage.slots)
    assert told == []
    stage.started[0].ready = True
    stage.one.advance_restart(stage.slots)
    assert stage.pids() == [100, 2]
    assert told == [("S:1", 1, signal.SIGTERM)]
    assert stage.leaving[0].ending
    stage.one.advance_restart(stage.slots)
    assert len(stage.started) == 1
    stage.leaving[0].pid = 0
    stage.one.advance_restart(stage.slots)
    assert stage.said == ["`S:1` is replaced"]
    stage.one.advance_restart(stage.slots)
    stage.started[1].ready = True
    stage.one.advance_restart(stage.slots)
    stage.leaving[1].pid = 0
    stage.one.advance_restart(stage.slots)
    assert stage.pids() == [100, 200]
    assert not stage.one.advance_restart(stage.slots)


def test_a_worker_with_gpus_ends_before_the_new_one_starts():
    """Both would not fit."""
    stage = Stage(1, CUDA_VISIBLE_DEVICES="0")
    stage.one.advance_restart(stage.slots)
    assert told == [("S:1", 1, signal.SIGTERM)]
    assert (stage.started, stage.pids()) == ([], [0])
    assert stage.slots[0].retry_at == float("inf")
    stage.one.advance_restart(stage.slots)
    assert stage.started == []
    stage.leaving[0].pid = 0
    stage.one.advance_restart(stage.slots)
    assert stage.pids() == [100]
    assert stage.slots[0].environment == {"CUDA_VISIBLE_DEVICES": "0"}
    stage.slots[0].ready = True
    stage.one.advance_restart(stage.slots)
    assert not stage.one.advance_restart(stage.slots)


def test_a_new_worker_that_fails_leaves_the_old_one():
    """And ends the restart: the others are left as they are."""
    stage = Stage(2)
    stage.one.advance_restart(stage.slots)
    stage.started[0].pid = 0
    stage.started[0].lines = ["error: no model"]
    assert not stage.one.advance_restart(stage.slots)
    assert stage.said == ["`S:1` is not replaced: the new one ended: no model"]
    assert stage.pids() == [1, 2]
    assert told == [("S:1", 0, signal.SIGKILL)]


def test_a_new_worker_that_is_never_ready(monkeypatch: pytest.MonkeyPatch):
    """Is killed after a while."""
    monkeypatch.setattr(rolling_restart, "PATIENCE_SECONDS", -1.0)
    stage = Stage(1)
    stage.one.advance_restart(stage.slots)
    assert not stage.one.advance_restart(stage.slots)
    assert stage.said == ["`S:1` is not replaced: the new one is not ready in time"]
    assert told == [("S:1", 100, signal.SIGKILL)]
    assert stage.leaving == stage.started
