"""The service as an ASGI application: OpenAI's routes in front of the registered models, and the health pages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import msgspec

from dynamo.http.app import Exchange, Receive, Refused, Scope, Send, StreamBroken
from dynamo.http.health import Health
from dynamo.http.openai.access import Access, Header
from dynamo.http.openai.chunks import DONE, Chunks, format_event
from dynamo.http.openai.error_body import Failure, convert_error, unknown_model
from dynamo.http.openai.models import ModelRegistry, Registration, format_path
from dynamo.http.openai.requests import parse_request
from dynamo.http.openai.whole import Whole, format_embeddings
from dynamo.rpc import call_context
from dynamo.rpc.server import Method
from dynamo.sdk.errors import RemoteError, Unavailable

logger = logging.getLogger("dynamo.openai")
JSON, EVENTS = "application/json", "text/event-stream"
ROUTES = {
    "/v1/chat/completions": ("POST", "chat"),
    "/v1/completions": ("POST", "completion"),
    "/v1/embeddings": ("POST", "embedding"),
    "/v1/models": ("GET", "models"),
}
_encode = msgspec.json.Encoder().encode


class OpenAIService:
    """All models of a graph behind one address. `registry` gives None while no graph was found yet.

    `own` are the endpoints of this process by their paths, which are called without a network.
    """

    def __init__(
        self,
        registry: Callable[[], ModelRegistry | None],
        access: Access | None = None,
        timeout: float = 0.0,
        own: Mapping[str, Method] = MappingProxyType({}),
    ) -> None:
        self.health = Health("http")
        self.health.started = True
        self._registry = registry
        self._access = access or Access()
        self._timeout = timeout
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} connections here")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = _Answer(scope, receive, send, headers, self._access.build_cors_headers(headers))
        place = unquote(scope["path"]).rstrip("/") or "/"
        if scope["method"] == "OPTIONS":
            await exchange.send_empty(self._access.build_preflight_headers(headers))
            return
        page = await self.health.render_page(place)
        if page is not None:
            await exchange.send_whole(*page)
            return
        try:
            self._access.check_key(headers)
            kind = _find_kind(scope["method"], place)
            await self._serve_route(kind, place, exchange)
        except Failure as failure:
            await exchange.send_failure(failure)

    async def _serve_route(self, kind: str, place: str, exchange: _Answer) -> None:
        name = "/v1/models" if kind == "models" else place
        deadline = time.monotonic() + self._timeout if self._timeout else 0.0
        call_context.current.set(exchange.build_context(deadline))
        self.health.metrics.count_started(name)
        began, outcome = time.perf_counter(), "cancelled"
        try:
            outcome = await (
                self._send_models(place, exchange) if kind == "models" else self._handle_request(kind, exchange)
            )
        finally:
            self.health.metrics.count_ended(name, outcome, time.perf_counter() - began)

    def _get_registry(self) -> ModelRegistry:
        registry = self._registry()
        if registry is None:
            raise Failure("no graph is running yet", status=503, kind="service_unavailable")
        return registry

    async def _send_models(self, place: str, exchange: _Answer) -> str:
        try:
            found = {model.name: model for model in await self._get_registry().read_live()}
        except RemoteError as error:
            raise convert_error(error) from error
        wanted = place.removeprefix("/v1/models").removeprefix("/")
        if not wanted:
            body = {"object": "list", "data": [_format_model(model) for model in found.values()]}
        elif wanted in found:
            body = _format_model(found[wanted])
        else:
            raise unknown_model(wanted)
        await exchange.send_whole(200, JSON, _encode(body))
        return "ok"

    async def _handle_request(self, kind: str, exchange: _Answer) -> str:
        try:
            body = await exchange.read_body()
        except Refused as refusal:
            await exchange.send_failure(Failure(refusal.message, status=refusal.status))
            return refusal.code
        if body is None:
            return "cancelled"
        watcher = asyncio.ensure_future(exchange.cancel_when_gone(asyncio.current_task()))
        try:
            async with asyncio.timeout(self._timeout or None):
                await self._answer_request(kind, parse_request(kind, body), exchange)
        except Failure as failure:
            await exchange.send_failure(failure)
            return failure.code or failure.kind
        except RemoteError as error:
            await exchange.send_failure(convert_error(error))
            return error.code
        except TimeoutError:
            await exchange.send_failure(
                Failure(f"it took longer than {self._timeout:.3g} s", status=504, kind="timeout")
            )
            return "deadline"
        except asyncio.CancelledError:
            if not exchange.gone:  # the drain's patience is over
                await exchange.send_failure(convert_error(Unavailable("the service is shutting down")))
            return "cancelled"
        except (OSError, StreamBroken):
            raise
        except Exception:
            logger.exception("`%s` failed", kind)
            await exchange.send_failure(Failure("the service failed", status=500, kind="server_error"))
            return "internal"
        finally:
            watcher.cancel()
        return "ok"

    async def _answer_request(self, kind: str, request: dict[str, Any], exchange: _Answer) -> None:
        registry = self._get_registry()
        name = request["model"]
        model = await registry.find_model(kind, name)
        if model is None:
            others = registry.list_kinds(name)
            if others:
                message = f"the model `{name}` is for {', '.join(others)}, not for {kind}"
                raise Failure(message, status=404, param="model")
            raise unknown_model(name)
        own = self._own.get(format_path(model))
        if own is None and not await registry.count_instances(model):
            raise convert_error(Unavailable(f"no worker of `{name}` is running at {format_path(model)}"))
        if kind == "embedding":
            given = await _read_last(await _call_method(own, request) if own else registry.call_model(model, request))
            answer = format_embeddings(given, name, request.get("encoding_format") or "float")
            await exchange.send_whole(200, JSON, _encode(answer))
        else:
            await self._send_generation(kind, request, exchange, registry, model)

    async def _send_generation(
        self, kind: str, request: dict[str, Any], exchange: _Answer, registry: ModelRegistry, model: Registration
    ) -> None:
        streaming = bool(request.get("stream"))
        options = request.get("stream_options") or {}
        chunks = Chunks(kind, model.name, usage=not streaming or bool(options.get("include_usage")))
        # A worker always streams: whole answers are put together here, and a client that leaves is noticed at once.
        request = {**request, "stream": True, "stream_options": {**options, "include_usage": True}}
        whole = Whole(kind)
        own = self._own.get(format_path(model))
        reply = aiter(await _call_method(own, request) if own else registry.call_model(model, request))
        try:
            async for item in reply:
                for chunk in chunks.convert_item(item):
                    if streaming:
                        await exchange.send_event(format_event(chunk))
                    else:
                        whole.add_chunk(chunk)
        finally:
            await reply.aclose()  # type: ignore[attr-defined]
        for chunk in chunks.finish_chunks():
            if streaming:
                await exchange.send_event(format_event(chunk))
            else:
                whole.add_chunk(chunk)
        if streaming:
            await exchange.send_event(DONE)
            await exchange.end_stream()
        else:
            await exchange.send_whole(200, JSON, _encode(whole.build_answer()))


class _Answer(Exchange):
    """One HTTP request and its answer, with the headers that every answer of it has."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: dict[str, str],
        extra: tuple[Header, ...],
    ) -> None:
        super().__init__(scope, receive, send, headers)
        self._extra = extra

    async def send_empty(self, extra: tuple[Header, ...]) -> None:
        """Send an answer without a body."""
        await self._send({"type": "http.response.start", "status": 204, "headers": [*extra, *self._extra]})
        await self._send({"type": "http.response.body", "body": b""})

    async def send_event(self, body: bytes) -> None:
        """Send one event of a stream; the status goes with the first."""
        if not self._form:
            await self._start_response(200, EVENTS, (b"cache-control", b"no-cache"))
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end_stream(self) -> None:
        """End a stream."""
        await self._send({"type": "http.response.body", "body": b""})

    async def send_failure(self, failure: Failure) -> None:
        """Send what went wrong: as the answer, or as the last event of a stream that began."""
        with contextlib.suppress(OSError):
            if self._form:
                await self._send({"type": "http.response.body", "body": b"data: " + failure.body + b"\n\n"})
                return
            extra = ((b"retry-after", b"1"),) if failure.status in (429, 503) else ()
            if failure.status == 405:
                extra = ((b"allow", failure.param.encode()),)
                failure.param = ""
            await self.send_whole(failure.status, JSON, failure.body, *extra)

    async def _start_response(self, status: int, form: str, *extra: tuple[bytes, bytes]) -> None:
        await super()._start_response(status, form, *extra, *self._extra)


async def _call_method(own: Method, request: Any) -> AsyncGenerator[Any, None]:
    """The items of an answer that this process gives itself."""
    arguments, keywords = own.arguments.from_call(request)
    result = await own.call_function(arguments, keywords)
    return result if hasattr(type(result), "__aiter__") else _yield_value(result)


async def _yield_value(value: Any) -> AsyncGenerator[Any, None]:
    yield value


async def _read_last(call: Any) -> Any:
    """A call's value, or the last item where the worker streams."""
    last = None
    async for item in call:
        last = item
    return last


def _find_kind(method: str, place: str) -> str:
    known = "/v1/models" if place.startswith("/v1/models/") else place
    if known not in ROUTES:
        raise Failure(f"there is no `{place}`; there are {', '.join(ROUTES)}", status=404, code="unknown_url")
    allowed, kind = ROUTES[known]
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise Failure(f"`{place}` takes {allowed}, not {method}", status=405, param=allowed)
    return kind


def _format_model(model: Registration) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": "dynamo"}
