"""One service in one process, the image's entrypoint: `python -m dynamo.worker [SERVICE]`, or the graph."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from dynamo import tracing
from dynamo.coordination.discovery import Instance, new_id
from dynamo.engines import moved
from dynamo.http.app import App
from dynamo.http.health import Health, system_app
from dynamo.http.http_server import HttpServer
from dynamo.messages import naming
from dynamo.rpc.call_arguments import Arguments
from dynamo.rpc.metrics import Metrics
from dynamo.rpc.runtime import DistributedRuntime, connect
from dynamo.rpc.select import parse_seconds
from dynamo.rpc.server import Dispatcher
from dynamo.sdk import codec, compatible, config, lifecycle, references
from dynamo.sdk.context import dynamo_context
from dynamo.sdk.decorators import load_service
from dynamo.sdk.depends import bind
from dynamo.sdk.errors import EXIT_FAILED, BadRequest, CannotStart, RemoteError
from dynamo.sdk.graph import ServiceGraph

logger = logging.getLogger("dynamo.worker")
DRAIN_SECONDS = 20.0
DRAIN, NODE_RANK = "DYNAMO_DRAIN_SECONDS", "DYNAMO_NODE_RANK"
CANNOT_START = 78
"""Exit code of a worker that would fail again in the same way."""
DEFAULT_CHECKS = "DYNAMO_SYSTEM_APP_USE_DEFAULT_HEALTH_CHECKS"


class StartError(CannotStart):
    """The service cannot be started as it is: one line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one worker process is told: its service, its number, its sockets, and where dependencies are instead."""

    service: str
    number: int = 1
    http: socket.socket | None = None
    system: socket.socket | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    on_ready: Callable[[], None] = lambda: None


def read_bento(environment: Mapping[str, str]) -> tuple[ServiceGraph, config.ServiceConfig]:
    """The graph as configured, and the configuration. Raises StartError."""
    folder = environment.get("DYNAMO_BENTO", "")
    if not folder:
        raise StartError("DYNAMO_BENTO is not set: it names the folder that holds graph.json and config.json")
    try:
        graph = codec.decode_json(ServiceGraph, Path(folder, "graph.json").read_bytes())
        settings = config.ServiceConfig(config.load_config(environment))
    except (OSError, ValueError) as error:
        raise StartError(f"cannot read the graph in `{folder}`: {error}") from error
    problems = config.validate_config(graph, settings)
    if problems:
        raise StartError("; ".join(problem.message for problem in problems))
    return config.apply_config(graph, settings), settings


class Worker:
    """A service that runs: its instance, and the servers in front of it."""

    def __init__(self, graph: ServiceGraph, settings: config.ServiceConfig, assignment: Assignment) -> None:
        self.graph = graph
        self.spec = graph.service(assignment.service)
        self.settings = settings
        self.assignment = assignment
        self.id = new_id()
        self.metrics = Metrics()
        self._service: Any = None
        self._servers: list[HttpServer] = []
        self._tracing: tracing.Tracing | None = None
        self._ready = False

    def import_service(self) -> None:
        """Import the author's code, before any event loop runs. Raises StartError."""
        moved.install_finder()
        compatible.install(os.environ)
        # Where one replica spans nodes only its first process is called; the others compute for it.
        self._leads = os.environ.get(NODE_RANK, "") in ("", "0")
        try:
            self._drain = parse_seconds(DRAIN, os.environ.get(DRAIN, "")) or DRAIN_SECONDS
        except BadRequest as error:
            raise StartError(error.message) from error
        try:
            self._service = load_service(self.spec.module, self.spec.qualname)
        except (ImportError, TypeError, SyntaxError) as error:
            raise StartError(f"cannot import `{self.spec.module}`: {error}{_format_location(error)}") from error

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises StartError and RemoteError when it cannot start."""
        stop = asyncio.Event()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, stop, task)
        self._tracing = tracing.start_tracing(self.spec, self.id, os.environ)
        async with await connect() as runtime:
            instance = self._create_instance(runtime)
            health = Health(
                self.spec.name,
                lifecycle.find_probes(instance, "liveness"),
                lifecycle.find_probes(instance, "readiness"),
                self.metrics,
                defaults=os.environ.get(DEFAULT_CHECKS, "").lower() not in ("false", "0", "no", "off"),
            )
            if self.assignment.system is not None:
                await self._serve_http(system_app(health), self.assignment.system)
            await _run_hooks(lifecycle.start_hooks(instance))
            async with contextlib.AsyncExitStack() as closing:
                closing.push_async_callback(_run_hooks, lifecycle.shutdown_hooks(instance))
                if self.spec.dynamo and self._leads:
                    await self._register_endpoints(runtime, instance, closing)
                if self.assignment.http is not None and self.spec.http and self._leads:
                    app: Any = App(self.spec, instance, health)
                    app = self._tracing.wrap_app(app) if self._tracing is not None else app
                    closing.push_async_callback(await self._serve_http(app, self.assignment.http))
                health.started = True
                self._ready = True
                self.assignment.on_ready()
                await stop.wait()
                health.draining = True
            for server in self._servers:
                await server.stop()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _on_signal(self, stop: asyncio.Event, task: asyncio.Task[None] | None) -> None:
        if stop.is_set():
            os._exit(1)  # told twice: the drain is not waited for
        stop.set()
        if not self._ready and task is not None:
            task.cancel()

    def _create_instance(self, runtime: DistributedRuntime) -> Any:
        clients = {}
        for edge in self.spec.edges:
            callee = self.graph.service(edge.service)
            address = self.assignment.elsewhere.get(edge.service, f"{callee.namespace}/{callee.name}")
            namespace, component, _ = naming.parse_address(address)
            endpoints = {}
            for endpoint in callee.endpoints:
                if endpoint.transport == "dynamo":
                    endpoints[endpoint.name] = endpoints[endpoint.method] = endpoint.name
            timeout = self.spec.traffic.get("timeout", 0)
            clients[edge.attribute] = runtime.service(namespace, component, endpoints, float(timeout or 0))
        dynamo_context.update(
            service_name=self.spec.name,
            worker_id=self.assignment.number,
            instance_id=self.id,
            namespace=self.spec.namespace,
            runtime=runtime,
            metrics=self.metrics,
            component=runtime.namespace(self.spec.namespace).component(self.spec.name),
            endpoints=[endpoint.name for endpoint in self.spec.endpoints if endpoint.transport == "dynamo"],
        )
        bind(self._service, clients)
        return self._service(**self._constructor_arguments())

    def _constructor_arguments(self) -> dict[str, Any]:
        given = self.settings.get_parsed_config(self.spec.name)
        known = {name.replace("-", "_"): value for name, value in given.items()}
        wanted = {
            parameter.name: known[parameter.name] for parameter in self.spec.parameters if parameter.name in known
        }
        converted = {}
        initialiser = self._service.inner.__init__
        for argument in Arguments(initialiser).arguments if inspect.isfunction(initialiser) else ():
            if argument.name in wanted:
                try:
                    converted[argument.name] = (
                        wanted[argument.name] if argument.free else argument.convert_value(wanted[argument.name])
                    )
                except BadRequest as error:
                    raise StartError(f"`{self.spec.name}.{argument.name}` in the configuration: {error}") from error
        return {**wanted, **converted}

    async def _register_endpoints(
        self, runtime: DistributedRuntime, instance: Any, closing: contextlib.AsyncExitStack
    ) -> None:
        dispatcher = Dispatcher(self.metrics)
        names = []
        for endpoint in self.spec.endpoints:
            if endpoint.transport == "dynamo":
                path = naming.format_path(self.spec.namespace, self.spec.name, endpoint.name)
                dispatcher.add_method(path, endpoint.name, getattr(instance, endpoint.method))
                names.append(endpoint.name)
        handler = self._tracing.wrap_handler(dispatcher) if self._tracing is not None else dispatcher
        serving = await runtime.transport.serve(handler)
        closing.push_async_callback(serving.drain, self._drain)
        lease = await runtime.discovery.register(
            Instance(
                namespace=self.spec.namespace,
                component=self.spec.name,
                id=self.id,
                address=serving.address,
                endpoints=tuple(names),
            )
        )
        closing.push_async_callback(lease.close)

    async def _serve_http(self, app: Callable[..., Any], listening: socket.socket) -> Callable[[], Any]:
        server = HttpServer(app, listening, self._drain)
        await server.start()
        self._servers.append(server)
        return server.stop


async def _run_hooks(hooks: tuple[Callable[[], Any], ...]) -> None:
    for hook in hooks:
        result = hook()
        if inspect.isawaitable(result):
            await result


def _format_location(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/dynamo/" not in frame.filename and "importlib" not in frame.filename]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def run_worker(assignment: Assignment) -> int:
    """Run a worker in this process until it is told to stop; its exit code. Says in one line why it cannot start."""
    try:
        graph, settings = read_bento(os.environ)
        if assignment.service not in graph.names:
            raise StartError(f"the graph has no service `{assignment.service}`; it has {', '.join(graph.names)}")
        envs = references.resolve_references(graph.service(assignment.service).envs, os.environ)
        os.environ.update({name: str(value) for name, value in envs.items()})
        os.environ["DYNAMO_SERVICE_CONFIG"] = json.dumps(settings)
        # Its own and the common part alone: the secrets of other services are not there.
        own = {name: settings[name] for name in (assignment.service, config.COMMON) if name in settings}
        settings = config.ServiceConfig({**settings, **references.resolve_references(own, os.environ)})
        config.ServiceConfig.set_instance(settings)
        logging.basicConfig(
            level=os.environ.get("DYN_LOG", "info").upper(), format="%(levelname)s %(name)s: %(message)s"
        )
        worker = Worker(graph, settings, assignment)
        worker.import_service()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(worker.run())
    except (CannotStart, references.MissingReference) as error:
        print_line(f"error: {error}")
        return CANNOT_START
    except RemoteError as error:
        print_line(f"error: {error.message}")
        return EXIT_FAILED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except asyncio.CancelledError:
        return 0
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def print_line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
