"""What the supervisor decides about workers that end."""

from __future__ import annotations

import signal
import time

import pytest

from dynamo.process.supervisor import CANNOT_START, FAST_FAILURES, Supervisor, Verdict, parse_arguments
from dynamo.process.worker_process import Slot


@pytest.fixture
def supervisor():
    one = Supervisor(parse_arguments(["--bento", "x"]))
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
    least = 0.0
    for _ in range(FAST_FAILURES - 1):
        before = time.monotonic()
        supervisor._handle_exit(one, 1)
        assert one.retry_at - before >= least
        least = one.retry_at - time.monotonic()
    with pytest.raises(Verdict, match=r"failed 5 times in a row \(exit code 1\); its last lines:\n  boom"):
        supervisor._handle_exit(one, 1)


def test_what_can_never_start_is_a_verdict_at_once(supervisor):
    """No second try for a missing module."""
    with pytest.raises(Verdict, match="`S` cannot start"):
        supervisor._handle_exit(slot(), CANNOT_START)


def test_a_killed_worker_starts_at_once(supervisor):
    """Being killed is not the service's failure, however often."""
    one = slot()
    for _ in range(20):
        one.ready, one.became_ready = True, time.monotonic()
        supervisor._handle_exit(one, -signal.SIGKILL)
        assert one.retry_at <= time.monotonic()


def test_a_steady_worker_is_forgiven(supervisor):
    """Failures of long ago do not count."""
    one = slot(ready_for=60)
    one.failures = 4
    supervisor._handle_exit(one, 1)
    assert one.failures == 0


def test_a_slow_crash_loop_is_one_too(supervisor):
    """A worker that is ready and dies a few seconds later, again and again."""
    one = slot()
    with pytest.raises(Verdict, match="failed 5 times in a row"):
        for _ in range(FAST_FAILURES):
            one.ready, one.became_ready = True, time.monotonic() - 3
            supervisor._handle_exit(one, 1)


def test_killed_before_it_is_ready_is_a_failure(supervisor):
    """As when the memory is not enough to load."""
    one = slot()
    supervisor._handle_exit(one, -signal.SIGKILL)
    assert one.failures == 1


def test_for_development_a_verdict_is_told_and_waited_out():
    """With --reload: the place stays empty until the code changes."""
    one = Supervisor(parse_arguments(["--bento", "x", "--patient"]))
    place = slot()
    one._handle_exit(place, CANNOT_START)
    assert place.state == "failed"
    assert "cannot start" in one.journal.lines[-2].text
    one.selector.close()
