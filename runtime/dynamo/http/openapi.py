"""The OpenAPI document of a service's routes, and the page `/docs` of it, which needs no other download."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
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


def describe_routes(service: ServiceSpec) -> dict[str, Any]:
    """The service's routes as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in service.endpoints:
        if endpoint.transport == "http":
            paths.setdefault("/" + endpoint.name, {})[endpoint.http_method.lower()] = _describe_operation(endpoint)
    return {"openapi": "3.1.0", "info": {"title": service.name, "version": "1"}, "paths": paths}


def _describe_operation(endpoint: EndpointSpec) -> dict[str, Any]:
    schema = dict(endpoint.request_schema) or {
        "type": "object",
        "properties": {parameter.name: {} for parameter in endpoint.parameters},
        "required": [parameter.name for parameter in endpoint.parameters if parameter.required],
    }
    answers = {
        "200": {
            "description": "the answer",
            "content": {kind: {"schema": dict(endpoint.response_schema)} for kind in _list_content_types(endpoint)},
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


def _list_content_types(endpoint: EndpointSpec) -> tuple[str, ...]:
    if endpoint.streaming:
        return ("text/plain", "application/x-ndjson", "text/event-stream")
    return ("text/plain",) if endpoint.response_schema.get("type") == "string" else ("application/json",)


_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
section {{ border: 1px solid #ccc; border-radius: 6px; padding: 0 1rem 1rem; margin: 1rem 0; }}
b {{ background: #2a6; color: #fff; border-radius: 4px; padding: 0 .4rem; font-size: .8rem; }}
pre, textarea {{ font: 13px/1.4 ui-monospace, monospace; background: #f6f6f6; padding: .5rem; overflow: auto; }}
textarea {{ width: 100%; box-sizing: border-box; border: 1px solid #ccc; }}
</style>
<h1>{title}</h1>
<p><a href="openapi.json">openapi.json</a> · <a href="health">health</a> · <a href="metrics">metrics</a></p>
"""
_TAIL = """<script>
for (const form of document.forms) form.onsubmit = async event => {
  event.preventDefault();
  const out = form.querySelector("output"), body = form.querySelector("textarea");
  const { method, path } = form.dataset;
  let url = path.slice(1), options = { method };
  if (body && method === "GET") url += "?" + new URLSearchParams(JSON.parse(body.value || "{}"));
  else if (body) options = { method, body: body.value, headers: { "content-type": "application/json" } };
  out.innerHTML = "<pre></pre>";
  const shown = out.firstChild, answer = await fetch(url, options);
  shown.textContent = answer.status + " " + answer.headers.get("content-type") + "\\n\\n";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part; !(part = await reader.read()).done;) shown.textContent += part.value;
};
</script></html>
"""


def render_page(description: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    title = html.escape(str(description["info"]["title"]))
    routes = [
        _render_route(path, method.upper(), operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    return _HEAD.format(title=title) + "".join(routes) + _TAIL


def _render_route(path: str, method: str, operation: Mapping[str, Any]) -> str:
    name = html.escape(path)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    properties = body.get("properties", {}) or {
        each["name"]: each["schema"] for each in operation.get("parameters", ())
    }
    example = html.escape(json.dumps({key: _build_example(schema) for key, schema in properties.items()}, indent=1))
    kinds = ", ".join(_media_types(operation))
    return (
        f"<section><h2><b>{html.escape(method)}</b> {name}</h2>"
        f'<form data-method="{html.escape(method)}" data-path="{name}">'
        f'<textarea rows="{min(12, 2 + len(properties))}" aria-label="request">{example}</textarea>'
        f"<p>answers {html.escape(kinds)} <button>Send</button></p><output></output></form></section>"
    )


def _media_types(operation: Mapping[str, Any]) -> Iterator[str]:
    yield from operation.get("responses", {}).get("200", {}).get("content", {})


def _build_example(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    return {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}.get(
        str(schema.get("type")), "text"
    )
