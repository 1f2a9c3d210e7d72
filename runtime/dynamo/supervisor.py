"""All services of a graph on one host: `dynamo serve`, and the image without a service's name.

This process has no event loop and no thread, and never imports the author's code: so it can fork at any time, and a
worker starts with everything heavy imported and nothing of another worker's in it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import secrets
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dynamo.broker import Broker, BrokerError, reachable
from dynamo.sdk.graph import ServiceSpec
from dynamo.slot import WAKING, Slot, die_with_parent

DRAIN_SECONDS = 25.0
FAILED = 17
FAST_SECONDS = 1.0
STEADY_SECONDS = 10.0
FAST_FAILURES = 5
CANNOT_START = 78
"""Exit code of a worker that would fail again in the same way."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


class Verdict(Exception):
    """The graph cannot be served (any more): what was seen, and what to do."""

    def __init__(self, message: str, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.hints = tuple(hints)


class Supervisor:
    """Starts the workers, keeps them running, and ends them together."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.slots: list[Slot] = []
        self.stopping = 0
        self.announced = False
        self.colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self.elsewhere = dict(item.partition("=")[::2] for item in options.depends)
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self._heed)

    def prepare(self) -> None:
        """Read the graph and bind the sockets. Raises Verdict."""
        from dynamo import worker

        try:
            self.graph, _ = worker.read_bento(os.environ)
        except worker.StartError as error:
            raise Verdict(str(error)) from error
        chosen = self._chosen()
        front = next((service for service in reversed(chosen) if service.http), None)
        width = max(
            len(f"{service.name}:{service.workers}" if service.workers > 1 else service.name) for service in chosen
        )
        system = self._system_socket()
        for service in chosen:
            listening = (
                self._listen(self.options.host, self.options.port if service is front else 0) if service.http else None
            )
            for number in range(1, max(1, service.workers) + 1):
                label = f"{service.name}:{number}" if service.workers > 1 else service.name
                show = self._printer(label, width, self.graph.names.index(service.name))
                slot = Slot(service=service.name, number=number, label=label, show=show, http=listening)
                slot.system = system if service is chosen[-1] and number == 1 else None
                self.slots.append(slot)

    def _chosen(self) -> list[ServiceSpec]:
        only = self.options.service_name
        for name in (only, *self.elsewhere):
            if name and name not in self.graph.names:
                raise Verdict(f"the graph has no service `{name}`; it has {', '.join(self.graph.names)}")
        if only:
            return [self.graph.service(only)]
        chosen = [service for service in self.graph.services if service.name not in self.elsewhere]
        if not chosen:
            raise Verdict("no service is left to run here", ["Name fewer with --depends."])
        return chosen

    def _system_socket(self) -> socket.socket | None:
        port = os.environ.get("DYNAMO_SYSTEM_PORT", "0")
        if not port.isdigit():
            raise Verdict(f"DYNAMO_SYSTEM_PORT is `{port}`, not a port")
        return self._listen(os.environ.get("DYNAMO_SYSTEM_HOST", "127.0.0.1"), int(port)) if int(port) else None

    def _printer(self, label: str, width: int, colour: int) -> Callable[[str], None]:
        prefix = f"[{label}]".ljust(width + 2)
        if self.colours:
            prefix = f"\033[{_COLOURS[colour % len(_COLOURS)]}m{prefix}\033[0m"
        return lambda line: say(f"{prefix} {line}")

    def _listen(self, host: str, port: int) -> socket.socket:
        from dynamo.http.server import listen

        try:
            return listen(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = "Choose another with --port, or --port 0 for a free one."
            raise Verdict(f"cannot listen on {host}:{port}: {reason.lower()}", [hint]) from error

    def run(self, broker: Broker | None) -> None:
        """Run until told to stop. Raises Verdict when a service fails for good."""
        for slot in self.slots:
            self._start(slot)
        while not self.stopping:
            self._turn()
            if broker is not None:
                broker.keep()
            for slot in self.slots:
                if not slot.pid and time.monotonic() >= slot.retry_at:
                    self._start(slot)
            if not self.announced and all(slot.ready for slot in self.slots):
                self.announced = True
                self._announce()

    def _announce(self) -> None:
        fronts = dict.fromkeys((slot.service, _address(slot.http)) for slot in reversed(self.slots) if slot.http)
        where = ", ".join(f"{service} on http://{address}" for service, address in fronts) or "no HTTP routes"
        say(f"serving {self.graph.target}: {where}")

    def _turn(self, longest: float = 1.0) -> None:
        now = time.monotonic()
        waits = [slot.retry_at - now for slot in self.slots if not slot.pid and not self.stopping]
        for key, _ in self.selector.select(max(0.0, min([longest, *waits]))):
            key.data(self.selector)
        for slot in self.slots:
            code = slot.ended(self.selector)
            if code is not None and not self.stopping:
                self._judge(slot, code)

    def _heed(self, selector: selectors.BaseSelector) -> None:
        self.stopping += sum(number in ENDING for number in os.read(self.wake_read, 4096))

    def _start(self, slot: Slot) -> None:
        from dynamo import worker

        def body(on_ready: Callable[[], None]) -> int:
            os.close(self.wake_write)
            own = (slot.http, slot.system)
            for listening in (found for other in self.slots for found in (other.http, other.system)):
                if listening is not None and listening not in own:
                    listening.close()
            return worker.start(
                worker.Assignment(
                    service=slot.service,
                    number=slot.number,
                    http=slot.http,
                    system=slot.system,
                    elsewhere=self.elsewhere,
                    on_ready=on_ready,
                )
            )

        slot.start(body, self.selector)

    def _judge(self, slot: Slot, code: int) -> None:
        now = time.monotonic()
        lived = now - slot.became_ready if slot.ready else 0.0
        slot.ready = False
        if lived > STEADY_SECONDS:
            slot.failures = 0
        if code == CANNOT_START:
            raise Verdict(f"`{slot.service}` cannot start: {slot.last_words()}")
        if lived < FAST_SECONDS and code != -signal.SIGKILL:
            slot.failures += 1
        if slot.failures >= FAST_FAILURES:
            last = [f"  {line}" for line in slot.lines if line.strip()]
            what = f"`{slot.service}` failed {slot.failures} times in a row ({_reason(code)})"
            raise Verdict("; its last lines:\n".join([what, "\n".join(last)]) if last else what)
        wait = min(5.0, 0.1 * 2**slot.failures) if slot.failures else 0.0
        slot.retry_at = now + wait
        say(f"`{slot.label}` ended ({_reason(code)}); starting it again" + (f" in {wait:.1f} s" if wait else ""))

    def stop(self) -> None:
        """End all workers: those with HTTP routes first, so that their requests still find the others."""
        self.stopping = max(1, self.stopping)
        told = self.stopping
        until = time.monotonic() + DRAIN_SECONDS
        for wave in ([s for s in self.slots if s.http], [s for s in self.slots if not s.http]):
            for slot in wave:
                slot.tell(signal.SIGTERM)
            while any(slot.pid for slot in wave) and time.monotonic() < until and self.stopping == told:
                self._turn(0.2)
        for slot in self.slots:
            slot.tell(signal.SIGKILL, group=True)
        while any(slot.pid for slot in self.slots):
            self._turn(0.2)
        self.selector.close()


def _reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def say(text: str) -> None:
    """One line on stderr; a reader that left does not end us."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace") + b"\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line of `python -m dynamo.supervisor`."""
    parser = argparse.ArgumentParser(prog="python -m dynamo.supervisor", description=__doc__)
    parser.add_argument(
        "--bento", default=os.environ.get("DYNAMO_BENTO", ""), help="folder of graph.json and config.json"
    )
    parser.add_argument("--host", default=os.environ.get("DYNAMO_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("DYNAMO_PORT", "8000")))
    parser.add_argument("--service-name", default=os.environ.get("DYNAMO_SERVICE_NAME", ""))
    parser.add_argument("--depends", action="append", default=[], metavar="NAME=NAMESPACE/COMPONENT")
    parser.add_argument("--hold-fd", type=int, default=-1, help="import first, then wait for a byte there")
    parser.add_argument("--temporary", action="store_true", help="remove the bento's folder at the end")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, our parent, does")
    parser.add_argument("--no-session", action="store_true", help="leave no session file")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def _session(broker: Broker | None) -> Iterator[None]:
    from dynamo.runtime import session

    if broker is None:
        yield
        return
    path = None
    try:
        found = session.Session(
            nats=broker.url,
            nats_token=broker.token,
            token=os.environ["DYNAMO_TRANSPORT_TOKEN"],
            graph=os.environ.get("DYNAMO_BENTO", ""),
            pid=os.getpid(),
        )
        path = session.write(found, os.environ)
    except OSError as error:
        say(f"warning: no session file was left for stand-alone clients: {error}")
    try:
        yield
    finally:
        if path is not None:
            session.remove(path)


def supervise(options: argparse.Namespace) -> None:
    """Serve the graph until told to stop. Raises Verdict."""
    if options.parent:
        die_with_parent(signal.SIGTERM, options.parent)
    supervisor = Supervisor(options)
    for number in WAKING:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(supervisor.wake_write, warn_on_full_buffer=False)
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
        import dynamo.worker  # noqa: F401 - heavy: while the broker starts, and before the first fork

        if options.hold_fd >= 0 and not _released(options.hold_fd):
            return
        os.environ["DYNAMO_BENTO"] = options.bento
        os.environ.pop("DYNAMO_TRANSPORT_PORT", None)  # one worker's: many would fight for it
        supervisor.prepare()
        if broker is None:
            reachable(given)
        else:
            os.environ["NATS_SERVER"] = broker.wait()
            os.environ["NATS_AUTH_TOKEN"] = broker.token
            os.environ.setdefault("DYNAMO_TRANSPORT_TOKEN", secrets.token_urlsafe(24))
        if not options.no_session:
            closing.enter_context(_session(broker))
        gc.freeze()
        try:
            supervisor.run(broker)
        finally:
            supervisor.stop()


def _released(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code is 17 for everything that keeps the graph from being served."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        supervise(options)
    except Verdict as verdict:
        say(f"error: {verdict}")
        for hint in verdict.hints:
            say(f"  hint: {hint}")
        return FAILED
    except BrokerError as error:
        say(f"error: {error}")
        say(f"  hint: {error.hint}")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
