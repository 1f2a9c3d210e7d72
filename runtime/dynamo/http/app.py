"""The HTTP front of one service as a plain ASGI application: its `@api` methods as routes, and the health pages."""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec

from dynamo.http import answers, openapi
from dynamo.http.health import Health
from dynamo.rpc import call_context
from dynamo.rpc.server import Method
from dynamo.sdk.endpoints import stream_form
from dynamo.sdk.errors import BadRequest, Deadline, Internal, Overloaded, RemoteError, Unavailable
from dynamo.sdk.graph import ServiceSpec

logger = logging.getLogger("dynamo.http")
LARGEST_BODY = 64 * 1024 * 1024
BODY_SECONDS = 60.0
"""How long the next part of a body may take."""
PAGES = frozenset({"/live", "/livez", "/health", "/healthz", "/ready", "/readyz", "/metrics", "/openapi.json"})

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class StreamBroken(Exception):
    """A stream failed after it began: the connection is cut, so that no client takes the answer for whole."""


class Refused(Exception):
    """A request that no route takes."""

    def __init__(self, status: int, code: str, message: str, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.allow = allow


class Route:
    """One `@api` method."""

    def __init__(self, name: str, http_method: str, method: Method) -> None:
        self.path = "/" + name.strip("/")
        self.http_method = http_method
        self.method = method
        self.form = stream_form(method.function)

    def parse_arguments(self, body: bytes, query: dict[str, str]) -> dict[str, Any]:
        """The method's arguments from the body's keys, then from the query. Raises BadRequest."""
        arguments = self.method.arguments
        only = arguments.arguments[0] if arguments.single else None
        if only is not None and only.annotation is bytes:
            return {only.name: body}
        parsed = _parse_json(body) if body.strip() else {}
        if only is not None and only.whole and not (isinstance(parsed, dict) and set(parsed) == {only.name}):
            return {only.name: only.convert_value({**query, **parsed} if isinstance(parsed, dict) else parsed)}
        if isinstance(parsed, dict):
            parsed = {**query, **parsed}
        return arguments.from_keys(parsed)


class App:
    """The ASGI application of a service; an attribute `asgi` of its instance is one that takes all but the pages."""

    def __init__(self, service: ServiceSpec, instance: Any, health: Health) -> None:
        self._health = health
        self._service = service
        timeout = service.traffic.get("timeout", 0)
        self._timeout = float(timeout) if isinstance(timeout, (int, float)) else 0.0
        self._most = _read_count(service.traffic.get("max_concurrency", service.traffic.get("concurrency")))
        self._largest = _read_count(service.traffic.get("max_body")) or LARGEST_BODY
        self._running = 0
        self._routes: dict[str, dict[str, Route]] = {}
        self._own: Any = getattr(instance, "asgi", None)
        if self._own is not None and hasattr(self._own, "health"):
            self._own.health = health  # it counts its requests where those of the worker are counted
        for endpoint in service.endpoints:
            if endpoint.transport == "http":
                method = Method(endpoint.name, getattr(instance, endpoint.method))
                route = Route(endpoint.name, endpoint.http_method, method)
                self._routes.setdefault(route.path, {})[route.http_method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} connections here")
        if self._own is not None and scope["path"] not in PAGES:
            await self._own(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(scope, receive, send, headers)
        try:
            route = self._find_route(scope["method"], unquote(scope["path"]).rstrip("/") or "/")
        except Refused as refusal:
            found = await self._render_page(scope["path"]) if refusal.status == 404 else None
            if found is None:
                await exchange.send_refusal(refusal)
            else:
                await exchange.send_whole(*found)
            return
        if self._most and self._running >= self._most:
            self._health.metrics.count_refused("/" + route.method.name)
            await exchange.send_error(
                Overloaded(f"`{self._service.name}` runs {self._running} requests, and takes no more")
            )
            return
        self._running += 1
        try:
            await self._serve_route(route, exchange)
        finally:
            self._running -= 1

    def _find_route(self, http_method: str, path: str) -> Route:
        routes = self._routes.get(path)
        if routes is None:
            known = ", ".join(f"`{name}`" for name in sorted(self._routes)) or "none"
            raise Refused(404, "not_found", f"no route `{path}`; `{self._service.name}` has {known}")
        route = routes.get(http_method)
        if route is None:
            allowed = ", ".join(sorted(routes))
            raise Refused(405, "bad_request", f"`{path}` takes {allowed}, not {http_method}", allowed)
        return route

    async def _render_page(self, path: str) -> tuple[int, str, bytes] | None:
        if path == "/openapi.json":
            return 200, answers.JSON, json.dumps(openapi.describe_routes(self._service)).encode()
        if path == "/docs":
            return 200, "text/html; charset=utf-8", openapi.render_page(openapi.describe_routes(self._service)).encode()
        return await self._health.render_page(path)

    async def _serve_route(self, route: Route, exchange: Exchange) -> None:
        deadline = time.monotonic() + self._timeout if self._timeout else 0.0
        call_context.current.set(exchange.build_context(deadline))
        metrics, name = self._health.metrics, "/" + route.method.name
        metrics.count_started(name)
        began, outcome = time.perf_counter(), "cancelled"
        try:
            outcome = await self._run_route(route, exchange)
        finally:
            metrics.count_ended(name, outcome, time.perf_counter() - began)

    async def _run_route(self, route: Route, exchange: Exchange) -> str:
        try:
            body = await exchange.read_body(self._largest)
        except Refused as refusal:
            await exchange.send_refusal(refusal)
            return refusal.code
        if body is None:
            return "cancelled"
        watcher = asyncio.ensure_future(exchange.cancel_when_gone(asyncio.current_task()))
        try:
            async with asyncio.timeout(self._timeout or None):
                await self._send_answer(route, exchange, body)
        except RemoteError as error:
            await exchange.send_error(error)
            return error.code
        except TimeoutError:
            await exchange.send_error(Deadline(f"`{route.path}` took longer than {self._timeout:.3g} s"))
            return Deadline.code
        except asyncio.CancelledError:
            if not exchange.gone:  # the drain's patience is over
                await exchange.send_error(Unavailable("the worker is shutting down"))
            return "cancelled"
        except StreamBroken:
            raise
        except Exception as error:
            logger.exception("`%s` failed", route.path)
            await exchange.send_error(Internal(f"{type(error).__name__}: {error}", kind=type(error).__name__))
            return Internal.code
        finally:
            watcher.cancel()
        return "ok"

    async def _send_answer(self, route: Route, exchange: Exchange, body: bytes) -> None:
        arguments = route.parse_arguments(body, exchange.parse_query())
        result = await route.method.call_function((), arguments)
        if hasattr(result, "__aiter__"):
            await exchange.send_stream(result, route.form)
        else:
            await exchange.send_whole(200, *answers.encode_value(result))


class Exchange:
    """One HTTP request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._form = ""
        self.gone = False
        self.request_id = headers.get("x-request-id", "")[:128] or call_context.new_request_id()

    def build_context(self, deadline: float) -> call_context.CallContext:
        """What the calls made for this request carry."""
        trace = self._scope.get("dynamo.traceparent") or call_context.child_trace(self._headers.get("traceparent", ""))
        return call_context.CallContext(request_id=self.request_id, traceparent=trace, deadline=deadline)

    def parse_query(self) -> dict[str, str]:
        """The query's keys; the last value of each."""
        return dict(parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def read_body(self, largest: int = LARGEST_BODY) -> bytes | None:
        """The whole body; None when the client left. Raises Refused when it is too large, or does not come."""
        declared = self._headers.get("content-length", "")
        if declared.isdigit() and int(declared) > largest:
            raise Refused(413, "bad_request", f"the body is larger than {largest} bytes")
        try:
            async with asyncio.timeout(BODY_SECONDS) as timeout:
                return await self._read_chunks(largest, timeout)
        except TimeoutError:
            raise Refused(408, "deadline", f"the body did not come in {BODY_SECONDS:.3g} s") from None

    async def _read_chunks(self, largest: int, timeout: asyncio.Timeout) -> bytes | None:
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > largest:
                raise Refused(413, "bad_request", f"the body is larger than {largest} bytes")
            chunks.append(chunk)
            timeout.reschedule(asyncio.get_running_loop().time() + BODY_SECONDS)
            if not message.get("more_body"):
                return b"".join(chunks) if len(chunks) > 1 else chunk

    async def cancel_when_gone(self, task: asyncio.Task[Any] | None) -> None:
        """Cancel the work when the client leaves before the answer is whole."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if task is not None:
            task.cancel()

    async def send_whole(self, status: int, form: str, body: bytes, *extra: tuple[bytes, bytes]) -> None:
        """Send an answer in one piece."""
        length = (b"content-length", str(len(body)).encode())
        await self._start_response(status, form, length, *extra)
        await self._send({"type": "http.response.body", "body": body})

    async def send_stream(self, items: Any, raw: str = "") -> None:
        """Send items as they come, in the form `raw` unframed. The status is sent with the first, so an early error
        has one of its own.
        """
        iterator: AsyncIterator[Any] = aiter(items)
        try:
            async for value in iterator:
                form = self._form or raw or answers.choose_form(value, self._headers.get("accept", ""))
                body = answers.encode_value(value)[1] if raw else answers.encode_item(value, form)
                if not self._form:
                    await self._start_response(200, form, (b"cache-control", b"no-cache"))
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            if not self._form:
                await self._start_response(200, raw or answers.choose_form("", self._headers.get("accept", "")))
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    async def send_error(self, error: RemoteError) -> None:
        """Send an error, or break a stream that already began off. Raises StreamBroken then."""
        if not self._form:
            extra = ((b"retry-after", b"1"),) if answers.STATUS.get(error.code) == 503 else ()
            body = answers.encode_error(error, self.request_id)
            await self.send_whole(answers.STATUS.get(error.code, 500), answers.JSON, body, *extra)
            return
        last = answers.encode_broken_end(error, self.request_id, self._form)
        await self._send({"type": "http.response.body", "body": last, "more_body": True})
        raise StreamBroken(error.message)

    async def send_refusal(self, refusal: Refused) -> None:
        """Send what no route takes back."""
        error = RemoteError(refusal.message)
        body = json.loads(answers.encode_error(error, self.request_id))
        body["error"]["code"] = refusal.code
        extra = [(b"allow", refusal.allow.encode())] if refusal.allow else []
        if refusal.status in (408, 413):
            extra.append((b"connection", b"close"))  # the rest of the body is not read
        await self.send_whole(refusal.status, answers.JSON, json.dumps(body).encode(), *extra)

    async def _start_response(self, status: int, form: str, *extra: tuple[bytes, bytes]) -> None:
        self._form = form
        headers = [
            (b"content-type", form.encode()),
            (b"x-request-id", self.request_id.encode("latin-1", "replace")),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _read_count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _parse_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
