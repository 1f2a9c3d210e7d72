"""OpenTelemetry spans of what a worker serves, when its environment names an exporter; otherwise nothing is loaded.

Configured as every OpenTelemetry program: OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_TRACES_EXPORTER=console), the sampler
and the resource by their variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from dynamo.http.app import Receive, Scope, Send
from dynamo.rpc import call_context
from dynamo.rpc.transport import Answer, Handler
from dynamo.rpc.wire import Request
from dynamo.sdk.graph import ServiceSpec

logger = logging.getLogger("dynamo.tracing")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TRACEPARENT = "dynamo.traceparent"


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether traces are wanted."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    return exporter == "console" or (exporter != "none" and any(environment.get(name) for name in _ENDPOINTS))


def start_tracing(service: ServiceSpec, instance: int, environment: Mapping[str, str]) -> Tracing | None:
    """What traces this worker; None when nothing is configured, or the packages are not there (which is a warning)."""
    if not is_configured(environment):
        return None
    try:
        return Tracing(service, instance, environment)
    except ImportError as error:
        logger.warning("traces are configured, but `%s` is not installed: see dynamo-runtime[otel]", error.name)
        return None


class Tracing:
    """One worker's tracer."""

    def __init__(self, service: ServiceSpec, instance: int, environment: Mapping[str, str]) -> None:
        # By name: an extra that most installations do not have.
        resources = importlib.import_module("opentelemetry.sdk.resources")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        self._api = importlib.import_module("opentelemetry.trace")
        self._propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        attributes = {
            "service.name": service.name,
            "service.namespace": service.namespace,
            "service.instance.id": f"{instance:x}",
        }
        self._provider = sdk.TracerProvider(resource=resources.Resource.create(attributes), shutdown_on_exit=False)
        if environment.get("OTEL_TRACES_EXPORTER") == "console":
            processor = export.SimpleSpanProcessor(export.ConsoleSpanExporter())
        else:
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            processor = export.BatchSpanProcessor(otlp.OTLPSpanExporter())
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("dynamo")
        self._carry = self._propagation.TraceContextTextMapPropagator()

    def wrap_handler(self, handler: Handler) -> Handler:
        """A span around every call of an endpoint; the calls it makes are its children."""

        async def traced(request: Request, answer: Answer) -> None:
            namespace, _, rest = request.path.partition("/")
            component, _, endpoint = rest.partition("/")
            attributes = {
                "rpc.system": "dynamo",
                "rpc.service": f"{namespace}/{component}",
                "rpc.method": endpoint,
                "dynamo.request_id": request.headers.get(call_context.REQUEST_ID, ""),
            }
            span, headers = self._start_span(f"{component}/{endpoint}", request.headers, attributes)
            try:
                await handler(msgspec.structs.replace(request, headers=headers), Watched(answer, self, span))
            finally:
                span.end()

        return traced

    def wrap_app(self, app: Any) -> Any:
        """A span around every HTTP request."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in ("/live", "/health", "/metrics"):
                await app(scope, receive, send)
                return
            given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
            span, headers = self._start_span(f"{scope['method']} {scope['path']}", given, attributes)
            scope[TRACEPARENT] = headers[call_context.TRACE]

            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        self.mark_failed(span, str(message["status"]))
                await send(message)

            try:
                await app(scope, receive, noting)
            except BaseException as error:
                self.mark_failed(span, type(error).__name__)
                raise
            finally:
                span.end()

        return traced

    def mark_failed(self, span: Any, what: str) -> None:
        """Mark a span as failed."""
        span.set_status(self._api.Status(self._api.StatusCode.ERROR, what))

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()

    def _start_span(
        self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]
    ) -> tuple[Any, dict[str, str]]:
        parent = self._carry.extract(headers)
        kind = self._api.SpanKind.SERVER
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
        following = dict(headers)
        self._carry.inject(following, context=self._api.set_span_in_context(span))
        return span, following


class Watched:
    """An answer whose failure is noted in a span."""

    def __init__(self, answer: Answer, tracing: Tracing, span: Any) -> None:
        self._answer = answer
        self._tracing = tracing
        self._span = span
        self.open_stream, self.send_item, self.wait_ready = answer.open_stream, answer.send_item, answer.wait_ready
        self.send_value, self.end_stream = answer.send_value, answer.end_stream

    def send_error(self, code: str, message: str, kind: str) -> None:
        """As the answer's own."""
        self._tracing.mark_failed(self._span, f"{code}: {message}")
        self._answer.send_error(code, message, kind)
