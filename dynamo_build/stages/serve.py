"""A target to a graph that runs on this machine: a folder as an image holds it, and a supervisor over it.

The supervisor is started first and imports what it needs while the graph is discovered; then it is told to go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.config import configured, load, merge, near_misses
from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo_build.errors import ServeError, UsageError
from dynamo_build.events import Listener, Warned, ignore
from dynamo_build.stages.configure import configure, read
from dynamo_build.stages.discover import explore, told

_LAYERS = ("DYN_DEPLOYMENT_CONFIG", "DYNAMO_SERVICE_CONFIG")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says: where to listen, and which services run here.

    `depends` is `Service=namespace/component` for each service that runs elsewhere.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    service_name: str = ""
    depends: tuple[str, ...] = ()
    config_file: Path | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A graph with its configuration applied, and that configuration."""

    graph: ServiceGraph
    configured: ServiceGraph
    config: Mapping[str, Any]


def serve(target: str, project: Path, options: ServeOptions, *, on: Listener = ignore) -> int:
    """Run the graph until it is told to stop; the supervisor's exit code, which has told its own failures by then.

    Raises GraphError and UsageError as discovery and configuration do, ServeError when the supervisor was killed.
    """
    with tempfile.TemporaryDirectory(prefix="dynamo-serve-", ignore_cleanup_errors=True) as bento:
        with _supervisor(Path(bento), project, options) as (process, release):
            resolved = resolve(target, project, options, on=on)
            Path(bento, "graph.json").write_bytes(codec.canonical(resolved.graph))
            Path(bento, "config.json").write_bytes(codec.ordered(resolved.config))
            with _forwarded(process):
                release()
                code = process.wait()
    if code < 0:
        raise ServeError(f"the supervisor was killed by {signal.Signals(-code).name}")
    return code


def resolve(target: str, project: Path, options: ServeOptions, *, on: Listener = ignore) -> Resolved:
    """The graph and its configuration, checked. Raises GraphError and UsageError."""
    file = read(options.config_file) if options.config_file is not None else {}
    try:
        given = load({name: os.environ.get(name, "") for name in _LAYERS})
    except ValueError as error:
        raise UsageError(str(error), ["Set it to a JSON object, or unset it."]) from error
    found = explore(target, project, on=on)
    assert found.graph is not None
    graph = found.graph
    config = configure(graph, merge(dict(file), given), options.arguments)
    for problem in near_misses(graph, config):
        on(Warned(text=told(problem)))
    _check_names(graph, options)
    return Resolved(graph=graph, configured=configured(graph, config), config=config)


def effective(resolved: Resolved) -> Mapping[str, Any]:
    """Every value that the services will see: defaults of their code under the configuration."""
    services = {service.name: _effective(service, resolved.config) for service in resolved.configured.services}
    rest = {name: value for name, value in resolved.config.items() if name not in services}
    return {**rest, **services}


def _effective(service: ServiceSpec, config: Mapping[str, Any]) -> Mapping[str, Any]:
    defaults = {item.name: item.default for item in service.parameters if not item.required}
    own = {name: value for name, value in (config.get(service.name) or {}).items() if name != "ServiceArgs"}
    arguments = {
        "dynamo": {"enabled": service.dynamo, "namespace": service.namespace, "name": service.name},
        "workers": service.workers,
        "resources": codec.plain(service.resources),
        "envs": dict(service.envs),
    }
    return {**defaults, **own, "ServiceArgs": arguments}


def _check_names(graph: ServiceGraph, options: ServeOptions) -> None:
    names = [item.partition("=")[0] for item in options.depends]
    for item in options.depends:
        if "=" not in item or "/" not in item.partition("=")[2]:
            raise UsageError(f"`{item}` is no address of a dependency", ["Write NAME=NAMESPACE/COMPONENT."])
    for name in [*names, *filter(None, [options.service_name])]:
        if name not in graph.names:
            raise UsageError(f"the graph has no service `{name}`", [f"It has {', '.join(graph.names)}."])


@contextlib.contextmanager
def _supervisor(
    bento: Path, project: Path, options: ServeOptions
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    hold, release = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name not in _LAYERS}
    command = [sys.executable, "-P", "-m", "dynamo.supervisor", "--bento", str(bento), "--temporary"]
    command += ["--hold-fd", str(hold)]
    command += ["--host", options.host, "--port", str(options.port), "--parent", str(os.getpid())]
    command += ["--service-name", options.service_name] if options.service_name else []
    command += [part for item in options.depends for part in ("--depends", item)]
    try:
        # Its own group: a terminal's Ctrl-C reaches us alone, and the supervisor hears of it once.
        process = subprocess.Popen(
            command, cwd=project, env=environment, pass_fds=(hold,), stdin=subprocess.DEVNULL, process_group=0
        )
    except OSError as error:
        os.close(release)
        raise ServeError(f"cannot start the supervisor: {(error.strerror or str(error)).lower()}") from error
    finally:
        os.close(hold)
    opened = [release]

    def go() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(release, b"g")

    try:
        yield process, go
    finally:
        os.close(opened.pop())
        if process.poll() is None:
            process.terminate()
        process.wait()


@contextlib.contextmanager
def _forwarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass on the signals that end us; the supervisor ends the rest."""
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before[number] = signal.signal(number, lambda *_: process.send_signal(signal.SIGTERM))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
