"""The OpenAPI document of a service's routes, from what discovery found out about them."""

from __future__ import annotations

from typing import Any

from dynamo.sdk.graph import EndpointSpec, ServiceSpec

ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "kind", "request_id")},
        }
    },
}


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
    answers = {
        "200": {
            "description": "the answer",
            "content": {kind: {"schema": dict(endpoint.response_schema)} for kind in _kinds(endpoint)},
        },
        "default": {"description": "an error", "content": {"application/json": {"schema": ERROR}}},
    }
    if endpoint.http_method in ("GET", "HEAD", "DELETE"):
        required = schema.get("required", ())
        parameters = [
            {"name": name, "in": "query", "required": name in required, "schema": part}
            for name, part in schema.get("properties", {}).items()
        ]
        return {"operationId": endpoint.method, "parameters": parameters, "responses": answers}
    return {
        "operationId": endpoint.method,
        "requestBody": {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}},
        "responses": answers,
    }


def _kinds(endpoint: EndpointSpec) -> tuple[str, ...]:
    if endpoint.streaming:
        return ("text/plain", "application/x-ndjson", "text/event-stream")
    return ("text/plain",) if endpoint.response_schema.get("type") == "string" else ("application/json",)
