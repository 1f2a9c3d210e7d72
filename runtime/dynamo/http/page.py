"""The routes of a service as one page to read and to try: `/docs`. It loads nothing from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

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


def document(description: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    title = html.escape(str(description["info"]["title"]))
    routes = [
        _route(path, method.upper(), operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    return _HEAD.format(title=title) + "".join(routes) + _TAIL


def _route(path: str, method: str, operation: Mapping[str, Any]) -> str:
    name = html.escape(path)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    properties = body.get("properties", {}) or {
        each["name"]: each["schema"] for each in operation.get("parameters", ())
    }
    example = html.escape(json.dumps({key: _example(schema) for key, schema in properties.items()}, indent=1))
    kinds = ", ".join(_kinds(operation))
    return (
        f"<section><h2><b>{html.escape(method)}</b> {name}</h2>"
        f'<form data-method="{html.escape(method)}" data-path="{name}">'
        f'<textarea rows="{min(12, 2 + len(properties))}" aria-label="request">{example}</textarea>'
        f"<p>answers {html.escape(kinds)} <button>Send</button></p><output></output></form></section>"
    )


def _kinds(operation: Mapping[str, Any]) -> Iterator[str]:
    yield from operation.get("responses", {}).get("200", {}).get("content", {})


def _example(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    return {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}.get(
        str(schema.get("type")), "text"
    )
