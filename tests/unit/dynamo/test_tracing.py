"""When traces are made."""

from __future__ import annotations

import logging
import sys

import pytest

from dynamo import tracing
from dynamo.sdk.graph import ServiceSpec

SERVICE = ServiceSpec(name="S", module="m", qualname="S")
OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (OTLP, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({**OTLP, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**OTLP, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_what_configures_them(environment, wanted):
    """OpenTelemetry's own variables."""
    assert tracing.is_configured(environment) is wanted


def test_without_the_packages(monkeypatch, caplog):
    """One warning that names the extra; the service runs."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with caplog.at_level(logging.WARNING):
        assert tracing.start_tracing(SERVICE, 1, OTLP) is None
    assert "dynamo-runtime[otel]" in caplog.text


def test_nothing_is_made_without_configuration():
    """And nothing is imported."""
    assert tracing.start_tracing(SERVICE, 1, {}) is None
