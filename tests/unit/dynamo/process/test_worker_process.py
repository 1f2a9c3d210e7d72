"""One worker's place: started, heard, ended."""

from __future__ import annotations

import os
import selectors
import signal
import time

from dynamo.process.worker_process import Slot
from support.waiting import PATIENCE


def watched(body) -> tuple[Slot, list[str], int]:
    """Run a worker to its end: its slot, what it showed, and its exit code."""
    shown: list[str] = []
    slot = Slot(service="S", number=1, label="S", show=shown.append)
    with selectors.DefaultSelector() as selector:
        slot.fork_worker(body, selector)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for key, _ in selector.select(0.05):
                key.data(selector)
            if (code := slot.poll_exit(selector)) is not None:
                assert not selector.get_map()
                return slot, shown, code
    raise AssertionError("it did not end")


def test_output_and_code():
    """Every line is shown, the last without its end too, and the exit code is the body's."""

    def body(on_ready) -> int:
        os.write(1, b"one\n\ntwo\n")
        os.write(2, b"error: three")
        return 5

    slot, shown, code = watched(body)
    assert (shown, code, slot.ready) == (["one", "", "two", "error: three"], 5, False)
    assert slot.last_words() == "three"


def test_ready_then_killed():
    """Readiness is heard; a death by a signal is a negative code."""

    def body(on_ready) -> int:
        on_ready()
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    slot, _, code = watched(body)
    assert (slot.ready, code) == (True, -signal.SIGKILL)


def test_its_own_children_end_with_it():
    """What a worker started and left is ended, and does not hold its output open."""

    def body(on_ready) -> int:
        if not os.fork():
            time.sleep(300)
        return 0

    assert watched(body)[2] == 0


def test_a_body_that_raises():
    """An error that escapes is exit code 1, and never the parent's."""

    def body(on_ready) -> int:
        os.close(2)
        raise RuntimeError

    assert watched(body)[2] == 1
