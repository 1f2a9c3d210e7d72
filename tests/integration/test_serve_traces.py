"""Traces of a graph: one request is one trace through every service, at a collector that speaks OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.waiting import wait_until

pytestmark = pytest.mark.nats

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello_world" / "hello_world.py"


class Collector(ThreadingHTTPServer):
    """Takes spans in, as (service, span)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans: list[tuple[str, object]] = []

    def named(self) -> dict[str, object]:
        return dict(self.spans)


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = (each.value.string_value for each in part.resource.attributes if each.key == "service.name")
            for scope in part.scope_spans:
                self.server.spans.extend((service, span) for span in scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def test_one_request_is_one_trace(serve, collector):
    """The caller's trace goes on through the three services, each span the child of its caller's."""
    address = f"http://127.0.0.1:{collector.server_port}"
    one = serve(
        "hello_world:Frontend", "--port", "0", files={"hello_world.py": HELLO.read_text()},
        OTEL_EXPORTER_OTLP_ENDPOINT=address, OTEL_BSP_SCHEDULE_DELAY="100",
    ).ready()  # fmt: skip
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    status, _, body = one.post(
        "/generate", '{"text": "a"}', traceparent=f"00-{trace}-{parent}-01", **{"x-request-id": "r1"}
    )
    assert (status, body) == (200, "Frontend: Middle: Backend: a-mid-back\n")
    assert one.post("/generate", "{")[0] == 400
    wait_until(lambda: len(collector.spans) >= 4, lambda: collector.spans)
    assert one.stop() == 0
    traced = {service: span for service, span in collector.spans if span.trace_id.hex() == trace}
    assert {service: span.name for service, span in traced.items()} == {
        "Frontend": "POST /generate",
        "Middle": "Middle/generate",
        "Backend": "Backend/generate",
    }
    assert traced["Frontend"].parent_span_id.hex() == parent
    assert traced["Middle"].parent_span_id == traced["Frontend"].span_id
    assert traced["Backend"].parent_span_id == traced["Middle"].span_id
    attributes = {each.key: each.value.string_value for each in traced["Backend"].attributes}
    assert attributes["dynamo.request_id"] == "r1"
    (refused,) = (span for service, span in collector.spans if span.trace_id.hex() != trace)
    assert next(each.value.int_value for each in refused.attributes if each.key == "http.response.status_code") == 400


def test_spans_that_wait_are_sent_at_the_end(serve, collector):
    """Nothing is lost when the graph ends before the next batch."""
    one = serve(
        "hello_world:Frontend", "--port", "0", files={"hello_world.py": HELLO.read_text()},
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}", OTEL_BSP_SCHEDULE_DELAY="60000",
    ).ready()  # fmt: skip
    assert one.post("/generate", '{"text": "a"}')[0] == 200
    assert one.stop() == 0
    assert set(collector.named()) == {"Frontend", "Middle", "Backend"}


def test_without_configuration_nothing_is_loaded(serve):
    """OpenTelemetry is not imported, and nothing is sent."""
    code = HELLO.read_text() + "\nimport sys, atexit\nassert 'opentelemetry' not in sys.modules\n"
    one = serve("hello_world:Frontend", "--port", "0", files={"hello_world.py": code}, OTEL_SDK_DISABLED="true").ready()
    assert one.post("/generate", '{"text": "a"}')[0] == 200
    assert one.stop() == 0
