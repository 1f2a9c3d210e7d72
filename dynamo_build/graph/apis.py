"""API documents of a graph: JSON Schema of every endpoint, OpenAPI of its HTTP routes.

Sources: OpenAPI 3.1.0; JSON Schema 2020-12, which it contains.
"""

from __future__ import annotations

from typing import Any

from dynamo.sdk.graph import EndpointSpec, ServiceGraph


def schema(graph: ServiceGraph) -> dict[str, Any]:
    """Every endpoint of every service with the schemas of its request and answer."""
    services = {
        service.name: {
            "namespace": service.namespace,
            "dynamo": service.dynamo,
            "endpoints": {endpoint.name: _endpoint(endpoint) for endpoint in service.endpoints},
        }
        for service in graph.services
    }
    return {"entry": graph.entry, "services": services}


def openapi(graph: ServiceGraph, name: str, version: str) -> dict[str, Any]:
    """The HTTP routes of the graph. A route that two services have is shown for the entry."""
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for service in reversed(graph.services):
        for endpoint in service.endpoints:
            if endpoint.transport != "http":
                continue
            method = endpoint.http_method.lower()
            operation = _operation(endpoint, service.name, components)
            paths.setdefault(f"/{endpoint.name.lstrip('/')}", {}).setdefault(method, operation)
    document: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": name, "version": version}, "paths": paths}
    if components:
        document["components"] = {"schemas": components}
    return document


def _endpoint(endpoint: EndpointSpec) -> dict[str, Any]:
    return {
        "transport": endpoint.transport,
        "streaming": endpoint.streaming,
        "request": dict(endpoint.request_schema),
        "response": dict(endpoint.response_schema),
    }


def _operation(endpoint: EndpointSpec, service: str, components: dict[str, Any]) -> dict[str, Any]:
    media = "text/event-stream" if endpoint.streaming else "application/json"
    answer = _hoisted(dict(endpoint.response_schema), components)
    operation: dict[str, Any] = {
        "operationId": f"{service}.{endpoint.method}",
        "tags": [service],
        "responses": {"200": {"description": "The answer", "content": {media: {"schema": answer}}}},
    }
    request = _hoisted(dict(endpoint.request_schema), components)
    if endpoint.http_method.upper() == "GET":
        members = request.get("properties", {})
        required = request.get("required", [])
        if members:
            operation["parameters"] = [
                {"name": name, "in": "query", "required": name in required, "schema": member}
                for name, member in members.items()
            ]
    elif request:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    return operation


def _hoisted(schema: Any, components: dict[str, Any]) -> Any:
    """The schema with its definitions moved to the document's components."""
    if isinstance(schema, list):
        return [_hoisted(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    for name, definition in schema.get("$defs", {}).items():
        components.setdefault(name, _hoisted(definition, components))
    moved = {key: _hoisted(item, components) for key, item in schema.items() if key != "$defs"}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = moved["$ref"].replace("#/$defs/", "#/components/schemas/")
    return moved
