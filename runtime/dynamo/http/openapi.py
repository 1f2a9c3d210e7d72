"""The OpenAPI document of a service's routes, from what discovery found out about them."""

from __future__ import annotations

from typing import Any

from dynamo.sdk.graph import EndpointSpec, ServiceSpec


def document(service: ServiceSpec) -> dict[str, Any]:
    """The service's routes as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in service.endpoints:
        if endpoint.transport == "http":
            paths.setdefault("/" + endpoint.name, {})[endpoint.http_method.lower()] = _operation(endpoint)
    return {"openapi": "3.1.0", "info": {"title": service.name, "version": "1"}, "paths": paths}


def _operation(endpoint: EndpointSpec) -> dict[str, Any]:
    schema = dict(endpoint.request_schema) or {
        "type": "object",
        "properties": {parameter.name: {} for parameter in endpoint.parameters},
        "required": [parameter.name for parameter in endpoint.parameters if parameter.required],
    }
    answer = dict(endpoint.response_schema)
    kinds = ("text/plain", "application/x-ndjson", "text/event-stream") if endpoint.streaming else ("application/json",)
    return {
        "operationId": endpoint.method,
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "the answer", "content": {kind: {"schema": answer} for kind in kinds}},
            "default": {"description": "an error", "content": {"application/json": {"schema": {"type": "object"}}}},
        },
    }
