"""The pages that every worker has: `/live`, `/health` and `/metrics`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from dynamo.rpc.metrics import Metrics

logger = logging.getLogger("dynamo.health")
PROBE_SECONDS = 5.0


class Health:
    """The state of one worker: `started` and `draining` are set by it, the rest its probes say.

    Without `defaults`, there is no page of a kind for which the service has no probe of its own.
    """

    def __init__(
        self,
        service: str,
        liveness: Sequence[Callable[[], Any]] = (),
        readiness: Sequence[Callable[[], Any]] = (),
        metrics: Metrics | None = None,
        *,
        defaults: bool = True,
    ) -> None:
        self.service = service
        self.started = False
        self.draining = False
        self.metrics = metrics or Metrics()
        self._defaults = defaults
        self._probes = {"live": tuple(liveness), "health": tuple(readiness)}

    async def render_page(self, path: str) -> tuple[int, str, bytes] | None:
        """Status, content type and body of a page; None when there is no such page."""
        if path == "/metrics":
            text = self.metrics.render_text({"service": self.service})
            return 200, "text/plain; version=0.0.4; charset=utf-8", text.encode()
        if path in ("/live", "/livez") and (self._defaults or self._probes["live"]):
            return self._render_verdict(await self._run_probes("live"))
        if path in ("/health", "/healthz", "/ready", "/readyz") and (self._defaults or self._probes["health"]):
            failed = await self._run_probes("health")
            if not self.started:
                failed.append("starting")
            if self.draining:
                failed.append("shutting down")
            return self._render_verdict(failed)
        return None

    def _render_verdict(self, failed: list[str]) -> tuple[int, str, bytes]:
        body = {"status": "failed" if failed else "ok", "service": self.service, "failed": failed}
        return 503 if failed else 200, "application/json", json.dumps(body).encode()

    async def _run_probes(self, kind: str) -> list[str]:
        return [name for probe in self._probes[kind] if (name := await self._run_probe(probe))]

    async def _run_probe(self, probe: Callable[[], Any]) -> str:
        name = getattr(probe, "__name__", "probe")
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                answer = probe() if inspect.iscoroutinefunction(probe) else await asyncio.to_thread(probe)
                if inspect.isawaitable(answer):
                    answer = await answer
        except Exception:
            logger.exception("probe `%s` failed", name)
            return name
        return "" if answer else name


def system_app(health: Health) -> Callable[..., Awaitable[None]]:
    """An ASGI application of the health pages alone."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        page = await health.render_page(scope["path"])
        if page is None:
            page = 404, "application/json", json.dumps({"error": {"code": "not_found"}}).encode()
        status, form, body = page
        headers = [(b"content-type", form.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
