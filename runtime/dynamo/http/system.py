"""The health pages on a port of their own, for services that have no HTTP routes and for probes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dynamo.http.health import Health


def system_app(health: Health) -> Callable[..., Awaitable[None]]:
    """An ASGI application of the health pages alone."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        page = await health.page(scope["path"])
        if page is None:
            page = 404, "application/json", json.dumps({"error": {"code": "not_found"}}).encode()
        status, form, body = page
        headers = [(b"content-type", form.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
