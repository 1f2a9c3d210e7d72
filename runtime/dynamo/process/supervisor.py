"""All services of a graph on one host: `dynamo serve`, and the image without a service's name.

This process has no event loop and no thread, and never imports the author's code: so it can fork at any time, and a
worker starts with everything heavy imported and nothing of another worker's in it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import os
import secrets
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dynamo.process.control_commands import Answering, Telling
from dynamo.process.control_socket import Control
from dynamo.process.fatal import Verdict
from dynamo.process.logs import Journal, print_line
from dynamo.process.nats_server import Broker, BrokerError, wait_reachable
from dynamo.process.placement import Lineup
from dynamo.process.rolling_restart import DRAIN_SECONDS, Replacing
from dynamo.process.worker_process import WAKING, Slot, die_with_parent, format_address
from dynamo.sdk.errors import EXIT_FAILED

STEADY_SECONDS = 10.0
"""A worker that was ready for longer did not fail at its start."""
FAST_FAILURES = 5
LONGEST_WAIT = 5.0
RELOAD_SECONDS = 3.0
CANNOT_START = 78
"""Exit code of a worker that would fail again in the same way."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Starts the workers, keeps them running, and ends them together."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.journal = Journal()
        self.lineup = Lineup(options, self.journal)
        self.slots: list[Slot] = []
        self.leaving: list[Slot] = []
        self.stopping = 0
        self.announced = False
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self._read_signals)
        self.replacing: tuple[Replacing, Telling] | None = None
        self.reload: Telling | None = None

    def prepare_slots(self) -> None:
        """Read the graph and bind the sockets; those that are bound stay. Raises Verdict."""
        self.slots = self.lineup.create_slots()

    def run(self, broker: Broker | None) -> None:
        """Run until told to stop. Raises Verdict when a service fails for good."""
        while not self.stopping:
            for slot in self.slots:
                if not slot.pid and time.monotonic() >= slot.retry_at:
                    self.start_worker(slot)
            self._poll_events()
            if broker is not None:
                broker.ensure_running()
            self._advance_restart()
            if self.reload is not None:
                self._reload_graph()
            if not self.announced and all(slot.ready for slot in self.slots):
                self.announced = True
                self._announce_ready()

    def _announce_ready(self) -> None:
        fronts = dict.fromkeys((slot.service, format_address(slot.http)) for slot in reversed(self.slots) if slot.http)
        where = ", ".join(f"{service} on http://{address}" for service, address in fronts) or "no HTTP routes"
        self.journal.write_line(f"serving {self.lineup.graph.target}: {where}")

    def _poll_events(self, longest: float = 1.0) -> None:
        now = time.monotonic()
        waits = [slot.retry_at - now for slot in self.slots if not slot.pid and not self.stopping]
        for key, _ in self.selector.select(max(0.0, min([longest, *waits]))):
            key.data(self.selector)
        for slot in (*self.slots, *self._list_leaving()):
            code = slot.poll_exit(self.selector)
            if code is not None and not slot.ending and not self.stopping and slot in self.slots:
                self._handle_exit(slot, code)
            elif slot.ending and slot.pid and now > slot.retry_at:
                slot.send_signal(signal.SIGKILL, group=True)
            if slot.ready and not slot.told:
                slot.told = True
                slot.show(slot.format_introduction())

    def _list_leaving(self) -> list[Slot]:
        new = self.replacing[0].get_unfinished() if self.replacing else None
        self.leaving[:] = [slot for slot in self.leaving if slot.pid]
        return [*self.leaving, *([new] if new is not None and new not in self.slots else [])]

    def _read_signals(self, selector: selectors.BaseSelector) -> None:
        self.stopping += sum(number in ENDING for number in os.read(self.wake_read, 4096))

    def _advance_restart(self) -> None:
        if self.replacing is not None and not self.replacing[0].advance_restart(self.slots):
            self.replacing[1].end()
            self.replacing = None

    def _reload_graph(self) -> None:
        """Read the graph again, and start every worker anew; the sockets stay open."""
        to, self.reload = self.reload, None
        assert to is not None
        before = self.slots
        try:
            self.prepare_slots()
        except Verdict as verdict:
            to.send_line(f"error: {verdict}")
            to.end()
            return
        now, self.slots = self.slots, before
        self._end_slots(before, RELOAD_SECONDS)
        self.slots, self.announced = now, False
        to.end()

    def start_worker(self, slot: Slot) -> None:
        from dynamo.process import run_service

        def body(on_ready: Callable[[], None]) -> int:
            os.close(self.wake_write)
            os.environ.update(slot.environment)
            own = (slot.http, slot.system)
            for listening in self.lineup.sockets.values():
                if listening not in own:
                    listening.close()
            return run_service.run_worker(
                run_service.Assignment(
                    service=slot.service,
                    number=slot.number,
                    http=slot.http,
                    system=slot.system,
                    elsewhere=self.lineup.elsewhere,
                    on_ready=on_ready,
                )
            )

        slot.fork_worker(body, self.selector)

    def _handle_exit(self, slot: Slot, code: int) -> None:
        now = time.monotonic()
        lived = now - slot.became_ready if slot.ready else 0.0
        killed = code == -signal.SIGKILL and slot.ready  # by whoever it was, it is not the service's failure
        slot.ready = slot.told = False
        if lived > STEADY_SECONDS:
            slot.failures = 0
        elif not killed:
            slot.failures += 1
        if code == CANNOT_START:
            self._give_up(slot, f"`{slot.service}` cannot start: {slot.last_words()}")
        elif slot.failures >= FAST_FAILURES:
            last = [f"  {line}" for line in slot.lines if line.strip()]
            what = f"`{slot.service}` failed {slot.failures} times in a row ({_format_exit(code)})"
            self._give_up(slot, "; its last lines:\n".join([what, "\n".join(last)]) if last else what)
        else:
            wait = min(LONGEST_WAIT, 0.1 * 2**slot.failures) if slot.failures else 0.0
            slot.retry_at = now + wait
            when = f" in {wait:.1f} s" if wait else ""
            self.journal.write_line(f"`{slot.label}` ended ({_format_exit(code)}); starting it again{when}")

    def _give_up(self, slot: Slot, why: str) -> None:
        if not self.options.patient:
            raise Verdict(why)
        slot.retry_at, slot.failures = math.inf, 0
        self.journal.write_line(f"error: {why}")
        self.journal.write_line(f"`{slot.label}` waits for a change of the code")

    def stop(self) -> None:
        """End all workers: those with HTTP routes first, so that their requests still find the others."""
        self.stopping = max(1, self.stopping)
        self._end_slots([*self.slots, *self._list_leaving()], DRAIN_SECONDS)
        self.selector.close()

    def _end_slots(self, slots: Sequence[Slot], patience: float) -> None:
        told = self.stopping
        until = time.monotonic() + patience
        for slot in slots:
            slot.ending, slot.retry_at = True, math.inf
        for wave in ([s for s in slots if s.http], [s for s in slots if not s.http]):
            for slot in wave:
                slot.send_signal(signal.SIGTERM)
            while any(slot.pid for slot in wave) and time.monotonic() < until and self.stopping == told:
                self._poll_events(0.2)
        for slot in slots:
            slot.send_signal(signal.SIGKILL, group=True)
        while any(slot.pid for slot in slots):
            self._poll_events(0.2)


def _format_exit(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line of `python -m dynamo.supervisor`."""
    parser = argparse.ArgumentParser(prog="python -m dynamo.supervisor", description=__doc__)
    parser.add_argument(
        "--bento", default=os.environ.get("DYNAMO_BENTO", ""), help="folder of graph.json and config.json"
    )
    parser.add_argument("--host", default=os.environ.get("DYNAMO_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("DYNAMO_PORT", "8000")))
    parser.add_argument("--service-name", default=os.environ.get("DYNAMO_SERVICE_NAME", ""))
    parser.add_argument(
        "--system-host", default=_read_variable("DYNAMO_SYSTEM_HOST", "DYNAMO_SYSTEM_APP_HOST") or "127.0.0.1"
    )
    parser.add_argument("--system-port", default=_read_variable("DYNAMO_SYSTEM_PORT", "DYNAMO_SYSTEM_APP_PORT") or "0")
    parser.add_argument("--no-pages", dest="pages", action="store_false", help="health pages on --system-port alone")
    parser.add_argument("--patient", action="store_true", help="a service that fails for good waits for a reload")
    parser.add_argument("--depends", action="append", default=[], metavar="NAME=NAMESPACE/COMPONENT")
    parser.add_argument("--hold-fd", type=int, default=-1, help="import first, then wait for a byte there")
    parser.add_argument("--temporary", action="store_true", help="remove the bento's folder at the end")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, our parent, does")
    parser.add_argument("--no-session", action="store_true", help="leave no session file")
    return parser.parse_args(arguments)


def _read_variable(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


@contextlib.contextmanager
def _publish_session(broker: Broker | None) -> Iterator[None]:
    from dynamo.coordination import session_file

    if broker is None:
        yield
        return
    path = None
    try:
        found = session_file.Session(
            nats=broker.url,
            nats_token=broker.token,
            token=os.environ["DYNAMO_TRANSPORT_TOKEN"],
            graph=os.environ.get("DYNAMO_BENTO", ""),
            pid=os.getpid(),
        )
        path = session_file.write_session(found, os.environ)
    except OSError as error:
        print_line(f"warning: no session file was left for stand-alone clients: {error}")
    try:
        yield
    finally:
        if path is not None:
            session_file.remove_session(path)


@contextlib.contextmanager
def _open_control(supervisor: Supervisor) -> Iterator[None]:
    try:
        control = Control(os.environ, supervisor.selector, Answering(supervisor).answer_request)
    except OSError as error:
        print_line(f"warning: `dynamo status` and `dynamo logs` will not find this graph: {error}")
        yield
        return
    try:
        yield
    finally:
        control.close()


def supervise(options: argparse.Namespace) -> None:
    """Serve the graph until told to stop. Raises Verdict."""
    if options.parent:
        die_with_parent(signal.SIGTERM, options.parent)
    supervisor = Supervisor(options)
    signal.set_wakeup_fd(supervisor.wake_write, warn_on_full_buffer=False)  # first: no signal is heard without it
    for number in WAKING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: None)
    with contextlib.ExitStack() as closing:
        if options.temporary:
            closing.callback(shutil.rmtree, options.bento, ignore_errors=True)
        given = os.environ.get("NATS_SERVER", "")
        broker = None
        if not given:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="dynamo-")))
            broker = Broker(folder, secrets.token_urlsafe(24))
            closing.callback(broker.stop)
            broker.start()
        # Loaded before the first fork, so that workers share its pages. Nothing imported up to here may start a thread
        # or an event loop: a fork copies only the calling thread, and a lock that another one held is never released.
        import dynamo.process.run_service  # noqa: F401 - heavy: while the broker starts, and before the first fork

        if options.hold_fd >= 0 and not _wait_released(options.hold_fd):
            return
        os.environ["DYNAMO_BENTO"] = options.bento
        os.environ.pop("DYNAMO_TRANSPORT_PORT", None)  # one worker's: many would fight for it
        supervisor.prepare_slots()
        if broker is None:
            wait_reachable(given)
        else:
            os.environ["NATS_SERVER"] = broker.wait_ready()
            os.environ["NATS_AUTH_TOKEN"] = broker.token
            os.environ.setdefault("DYNAMO_TRANSPORT_TOKEN", secrets.token_urlsafe(24))
        if not options.no_session:
            closing.enter_context(_publish_session(broker))
            closing.enter_context(_open_control(supervisor))
        gc.freeze()
        try:
            supervisor.run(broker)
        finally:
            supervisor.stop()


def _wait_released(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code is 17 for everything that keeps the graph from being served."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        supervise(options)
    except Verdict as verdict:
        print_line(f"error: {verdict}")
        for hint in verdict.hints:
            print_line(f"  hint: {hint}")
        return EXIT_FAILED
    except BrokerError as error:
        print_line(f"error: {error}")
        print_line(f"  hint: {error.hint}")
        return EXIT_FAILED
    return 0
