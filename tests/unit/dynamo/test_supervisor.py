"""What the supervisor decides about workers that end."""

from __future__ import annotations

import signal
import time

import pytest

from dynamo.slot import Slot
from dynamo.supervisor import CANNOT_START, FAST_FAILURES, Supervisor, Verdict, parse


@pytest.fixture
def supervisor():
    one = Supervisor(parse(["--bento", "x"]))
    yield one
    one.selector.close()


def slot(ready_for: float = -1.0) -> Slot:
    made = Slot(service="S", number=1, label="S", show=lambda line: None)
    if ready_for >= 0:
        made.ready, made.became_ready = True, time.monotonic() - ready_for
    return made


def test_failures_in_a_row_are_a_verdict(supervisor):
    """Each failure waits longer, and the last one ends everything with the service's last lines."""
    one = slot()
    one.lines = ["boom"]
    waits = []
    for _ in range(FAST_FAILURES - 1):
        supervisor._judge(one, 1)
        waits.append(one.retry_at - time.monotonic())
    assert waits == sorted(waits)
    with pytest.raises(Verdict, match=r"failed 5 times in a row \(exit code 1\); its last lines:\n  boom"):
        supervisor._judge(one, 1)


def test_what_can_never_start_is_a_verdict_at_once(supervisor):
    """No second try for a missing module."""
    with pytest.raises(Verdict, match="`S` cannot start"):
        supervisor._judge(slot(), CANNOT_START)


def test_a_killed_worker_starts_at_once(supervisor):
    """Being killed is not the service's failure, however often."""
    one = slot()
    for _ in range(20):
        one.ready, one.became_ready = True, time.monotonic()
        supervisor._judge(one, -signal.SIGKILL)
        assert one.retry_at <= time.monotonic()


def test_a_steady_worker_is_forgiven(supervisor):
    """Failures of long ago do not count."""
    one = slot(ready_for=60)
    one.failures = 4
    supervisor._judge(one, 1)
    assert one.failures == 0
