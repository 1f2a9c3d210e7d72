"""The verb `serve`: run a graph on this machine, from a folder laid out as in an image, under a supervisor.

The supervisor is started first and imports what it needs while the graph is discovered; then it is released.
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
from dynamo.sdk.config import apply_config, merge_values, near_misses, parse_arguments
from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo_build.errors import DynamoError, GraphError, ServeError, UsageError
from dynamo_build.events import Listener, Warned, ignore
from dynamo_build.graph.child import explore_graph, format_problem
from dynamo_build.graph.config import ARGUMENT, ConfigValue, parse_config, read_config, resolve_config, trace_values
from dynamo_build.local import bento_target, running
from dynamo_build.local.reload import Watching
from dynamo_build.model.bento import Bento
from dynamo_build.system import signals

_LAYERS = ("DYN_DEPLOYMENT_CONFIG", "DYNAMO_SERVICE_CONFIG")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where to listen, and which services run here.

    `depends` is `Service=namespace/component` for each service that runs elsewhere. `pages`: every worker has health
    pages; those of the entry's first worker are on `system_port` when that is not 0. `reload` starts workers again when
    the project's code changes. `dashboard` shows the running graph on a page.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    service_name: str = ""
    depends: tuple[str, ...] = ()
    config_file: Path | None = None
    arguments: tuple[str, ...] = ()
    pages: bool = True
    system_host: str = ""
    system_port: int = 0
    default_checks: bool = True
    reload: bool = False
    dashboard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A graph with its configuration applied, that configuration, and where each value of it was set."""

    graph: ServiceGraph
    configured: ServiceGraph
    config: Mapping[str, Any]
    values: tuple[ConfigValue, ...] = ()


def serve(
    target: str,
    project: Path,
    options: ServeOptions,
    *,
    on: Listener = ignore,
    changed: Callable[[float], bool] | None = None,
) -> int:
    """Run a graph or a bento until it is told to stop.

    `target` is `module:Service` in the folder `project`, a bento's tag, a bento file, or a folder that holds the
    project. A bento runs with the packages of its lock. `changed` replaces the watcher that `options.reload` starts: it
    waits that many seconds at most and says whether the code changed since.

    Gives the exit code of the supervisor, which has reported its own failures by then. Raises GraphError and UsageError
    as discovery and configuration do, LockError when locked packages cannot be had, ServeError when the supervisor was
    killed.
    """
    target, project, bento = find_target(target, project)
    if not project.is_dir():
        raise UsageError(f"`{project}` is not a folder", ["Name the folder that holds the graph's module."])
    if options.reload and bento is not None:
        raise UsageError(f"`{target}` is a bento, which does not change", ["Leave `--reload` out, or name a module."])
    if options.reload and changed is None:
        changed = Watching(project.resolve(), [options.config_file] if options.config_file else [])
    if not options.dashboard:
        return _run_graph(target, project, options, on, bento, changed)
    from dynamo_build.local.dashboard import serve_when_running  # the page and its server take time to load

    with serve_when_running(on):
        return _run_graph(target, project, options, on, bento, changed)


def find_target(target: str, project: Path) -> tuple[str, Path, Bento | None]:
    """The target, the project's folder and the bento, if one is named. A folder is a project whose entry is searched.

    Raises StoreError for a damaged bento.
    """
    if target and Path(target).is_dir() and not Path(project, f"{target}.py").exists():
        target, project = "", Path(target)
    return target, project, bento_target.find_bento(target, project)


def _run_graph(
    target: str,
    project: Path,
    options: ServeOptions,
    on: Listener,
    bento: Bento | None,
    changed: Callable[[float], bool] | None,
) -> int:
    code = bento_target.prepare_code(bento, on) if bento is not None else bento_target.Code(folder=project)
    # Until they are passed on, signals that end us raise, so that nothing is left of what began.
    with signals.raise_on_signals(_ending_signals()), _temporary_folder() as folder:
        with _start_supervisor(Path(folder), code, options) as (process, release):
            _write_graph(Path(folder), resolve_target(target, project, options, on=on, bento=bento))
            with _forward_signals(process) as told:
                release()
                if changed is None:
                    ended = process.wait()
                else:
                    ended = _reload_on_change(
                        process, changed, lambda: resolve_target(target, project, options, on=on), Path(folder), on
                    )
    if told and ended == -signal.SIGTERM:  # before the supervisor heeded it: nothing had begun
        return 0
    if ended < 0:
        raise ServeError(f"the supervisor was killed by {signal.Signals(-ended).name}")
    return ended


def _reload_on_change(
    process: subprocess.Popen[bytes],
    changed: Callable[[float], bool],
    again: Callable[[], Resolved],
    folder: Path,
    on: Listener,
) -> int:
    while process.poll() is None:
        if not changed(0.3) or process.poll() is not None:
            continue
        try:
            resolved = again()
        except DynamoError as error:
            on(Warned(text=f"the change is not applied: {format_failure(error)}"))
            continue
        _write_graph(folder, resolved)
        with contextlib.suppress(ServeError):
            running.ask_supervisor(process.pid, {"do": "reload"})
    return process.wait()


def format_failure(error: DynamoError) -> str:
    """An error in one line."""
    problems = error.problems if isinstance(error, GraphError) else ()
    return "; ".join([error.message, *(format_problem(problem) for problem in problems)])


def _write_graph(folder: Path, resolved: Resolved) -> None:
    for name, content in (
        ("graph.json", codec.encode_canonical(resolved.graph)),
        ("config.json", codec.encode_ordered(resolved.config)),
    ):
        temporary = folder / f"{name}.new"
        temporary.write_bytes(content)
        temporary.replace(folder / name)


def preview_config(target: str, project: Path, options: ServeOptions, on: Listener = ignore) -> Resolved:
    """The graph and the configuration that `serve` would run; nothing is started. Raises GraphError and UsageError."""
    target, project, bento = find_target(target, project)
    return resolve_target(target, project, options, on=on, bento=bento)


def resolve_target(
    target: str, project: Path, options: ServeOptions, *, on: Listener = ignore, bento: Bento | None = None
) -> Resolved:
    """The graph and its configuration, checked. Raises GraphError and UsageError."""
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if options.config_file is not None:
        layers.append((str(options.config_file), read_config(options.config_file)))
    layers += [(name, found) for name in _LAYERS if (found := parse_config(name, os.environ.get(name, "")))]
    if bento is None:
        graph = explore_graph(target, project, on=on).graph
        assert graph is not None
    else:
        graph = bento.manifest.graph
        layers.insert(0, (bento.tag, bento.manifest.config))
    lower: dict[str, Any] = {}
    for _, layer in layers:
        lower = merge_values(lower, dict(layer))
    config = resolve_config(graph, lower, options.arguments)
    for problem in near_misses(graph, config):
        on(Warned(text=format_problem(problem)))
    _check_names(graph, options)
    values = trace_values(graph, [*layers, (ARGUMENT, parse_arguments(options.arguments))])
    return Resolved(graph=graph, configured=apply_config(graph, config), config=config, values=values)


def effective_config(resolved: Resolved) -> Mapping[str, Any]:
    """Every value that the services will see: defaults of their code under the configuration."""
    services = {
        service.name: _effective_service_config(service, resolved.config) for service in resolved.configured.services
    }
    rest = {name: value for name, value in resolved.config.items() if name not in services}
    return {**rest, **services}


def _effective_service_config(service: ServiceSpec, config: Mapping[str, Any]) -> Mapping[str, Any]:
    defaults = {item.name: item.default for item in service.parameters if not item.required}
    own = {name: value for name, value in (config.get(service.name) or {}).items() if name != "ServiceArgs"}
    arguments = {
        "dynamo": {"enabled": service.dynamo, "namespace": service.namespace, "name": service.name},
        "workers": service.workers,
        "resources": codec.to_plain(service.resources),
        "envs": dict(service.envs),
    }
    return {**defaults, **own, "ServiceArgs": arguments}


def _check_names(graph: ServiceGraph, options: ServeOptions) -> None:
    names = [item.partition("=")[0] for item in options.depends]
    for item in options.depends:
        if "=" not in item or "/" not in item.partition("=")[2]:
            raise UsageError(f"`{item}` is not the address of a dependency", ["Write NAME=NAMESPACE/COMPONENT."])
    for name in [*names, *filter(None, [options.service_name])]:
        if name not in graph.names:
            raise UsageError(f"the graph has no service `{name}`", [f"It has {', '.join(graph.names)}."])


@contextlib.contextmanager
def _start_supervisor(
    bento: Path, code: bento_target.Code, options: ServeOptions
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    hold, release = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name not in _LAYERS}
    environment |= code.environment
    if options.reload:  # a file that changes twice in a second has the stamp of its own old bytecode
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if not options.default_checks:
        environment["DYNAMO_SYSTEM_APP_USE_DEFAULT_HEALTH_CHECKS"] = "false"
    command = [sys.executable, *code.switches, "-m", "dynamo.supervisor", "--bento", str(bento), "--temporary"]
    command += ["--hold-fd", str(hold)]
    command += ["--host", options.host, "--port", str(options.port), "--parent", str(os.getpid())]
    command += ["--service-name", options.service_name] if options.service_name else []
    command += [part for item in options.depends for part in ("--depends", item)]
    command += ["--system-host", options.system_host] if options.system_host else []
    command += ["--system-port", str(options.system_port)] if options.system_port else []
    command += [] if options.pages else ["--no-pages"]
    command += ["--patient"] if options.reload else []
    try:
        # Its own group: a terminal's Ctrl-C reaches us alone, and the supervisor hears of it once.
        process = subprocess.Popen(
            command, cwd=code.folder, env=environment, pass_fds=(hold,), stdin=subprocess.DEVNULL, process_group=0
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


def _ending_signals() -> list[signal.Signals]:
    """The signals that end us; a hangup that is ignored, as under nohup, is none of them."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] + ([] if ignored else [signal.SIGHUP])


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder; no signal comes between its making and who removes it."""
    with signals.defer_signals():
        return tempfile.TemporaryDirectory(prefix="dynamo-serve-", ignore_cleanup_errors=True)


@contextlib.contextmanager
def _forward_signals(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass on the signals that end us, and name those that came; the supervisor ends the rest."""
    told: list[int] = []

    def forward(number: int, _: object) -> None:
        told.append(number)
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, forward) for number in _ending_signals()}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
