"""The door to NATS: one connection that outlives restarts of the server, and what JetStream keeps for it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import ssl
import sys
from collections.abc import Mapping
from typing import Any

from dynamo.coordination.nats.address import parse_servers, redact_address
from dynamo.sdk.errors import BadRequest, Unauthorized, Unavailable

# The library loads an HTTP client for its WebSocket transport when it finds one, which doubles our start-up.
_UNWANTED = "aiohttp" not in sys.modules and not os.environ.get("NATS_SERVER", "").startswith("ws")
if _UNWANTED:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
try:
    import nats
    import nats.errors
    import nats.js.api
    import nats.js.errors
finally:
    if _UNWANTED:
        del sys.modules["aiohttp"]

logger = logging.getLogger("dynamo.nats")
SECRETS = "dynamo_secrets"
TOKEN_KEY = "transport_token"  # noqa: S105 - the name of a key, not its value
WINDOW_SECONDS = 10.0
NAMED_SECONDS = 2.0
"""After how long a server that does not answer is named, while it is waited for."""
FAILURES = (nats.errors.Error, OSError, TimeoutError)
"""What a call of the library fails with while there is no server, or one that cannot do it."""
_ANSWER_SECONDS = 3.0


def local_address(url: str) -> str:
    """The address of this machine on the way to the server: where peers that share the server can dial us."""
    host, port = parse_servers(url)[0]
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


class Nats:
    """A connection to NATS that outlives restarts of the server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = nats.NATS()
        self._down_since = 0.0
        self._down_before = 0.0
        self._problem: Exception | None = None
        self._buckets: dict[str, Any] = {}
        self._streams: set[str] = set()

    async def connect(self, login: Mapping[str, Any], window: float = WINDOW_SECONDS) -> None:
        """Connect. Raises Unavailable when nobody answers within the window, Unauthorized when we are not let in, and
        BadRequest for what is no address.
        """
        redact_address(self.url)
        refused = asyncio.Event()

        async def on_error(error: Exception) -> None:
            if not refused.is_set():
                self._problem = error
            if "authorization" in str(error).lower() or isinstance(error, ssl.SSLCertVerificationError):
                refused.set()

        connecting = asyncio.ensure_future(
            self.client.connect(
                [one.strip() for one in self.url.split(",")],
                error_cb=on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                connect_timeout=2,
                reconnect_time_wait=0.2,
                max_reconnect_attempts=-1,
                **login,
            )
        )
        refusing = asyncio.ensure_future(refused.wait())
        patience = asyncio.get_running_loop().call_later(NAMED_SECONDS, self._warn_waiting, window)
        try:
            await asyncio.wait((connecting, refusing), timeout=window, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
            elif refused.is_set() and not isinstance(self._problem, ssl.SSLError):
                raise Unauthorized(f"the NATS server at {redact_address(self.url)} does not let us in")
            else:
                reason = self._problem or "no answer"
                raise Unavailable(f"no NATS server answers at {redact_address(self.url)}: {reason}")
        except FAILURES as error:
            raise Unavailable(f"no NATS server answers at {redact_address(self.url)}: {error}") from error
        finally:
            patience.cancel()
            refusing.cancel()
            if not connecting.done():
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
                await self.close()

    def _warn_waiting(self, window: float) -> None:
        reason = self._problem or "no answer"
        logger.warning(
            "no NATS server answers at %s yet (%s); waiting for it, %.0f s in all",
            redact_address(self.url),
            reason,
            window,
        )

    async def _on_disconnected(self) -> None:
        if not self._down_since:
            self._down_since = asyncio.get_running_loop().time()

    async def _on_reconnected(self) -> None:
        if self._down_since:
            self._down_before += asyncio.get_running_loop().time() - self._down_since
            self._down_since = 0.0

    def connected_time(self) -> float:
        """A clock that stands still while there is no server: nobody's lease runs out because of that."""
        return (self._down_since or asyncio.get_running_loop().time()) - self._down_before

    async def open_bucket(self, name: str, *, again: bool = False, **settings: Any) -> Any:
        """A key-value bucket, made when it is not there. Raises Unavailable."""
        if again or name not in self._buckets:
            jetstream = self.client.jetstream(timeout=_ANSWER_SECONDS)
            try:
                try:
                    self._buckets[name] = await jetstream.key_value(name)
                except nats.js.errors.BucketNotFoundError:
                    config = nats.js.api.KeyValueConfig(bucket=name, **settings)
                    self._buckets[name] = await jetstream.create_key_value(config)
            except nats.js.errors.ServiceUnavailableError as error:
                raise Unavailable(
                    f"the NATS server at {redact_address(self.url)} runs without JetStream (-js)"
                ) from error
            except FAILURES as error:
                raise Unavailable(
                    f"the NATS server at {redact_address(self.url)} does not keep keys: {error}"
                ) from error
        return self._buckets[name]

    async def shared_token(self) -> str:
        """The token that all who may use this server share for calls; made by the first to ask."""
        bucket = await self.open_bucket(SECRETS, history=1)
        try:
            await bucket.create(TOKEN_KEY, secrets.token_urlsafe(24).encode())
        except nats.js.errors.KeyWrongLastSequenceError:
            pass
        except FAILURES as error:
            raise Unavailable(f"the NATS server at {redact_address(self.url)} does not keep keys: {error}") from error
        return str((await bucket.get(TOKEN_KEY)).value.decode())

    async def open_stream(self, settings: Any) -> Any:
        """JetStream, with that stream made when it is not there. Raises Unavailable."""
        jetstream = self.client.jetstream(timeout=_ANSWER_SECONDS)
        if settings.name not in self._streams:
            try:
                try:
                    await jetstream.stream_info(settings.name)
                except nats.js.errors.NotFoundError:
                    await jetstream.add_stream(settings)
            except nats.js.errors.ServiceUnavailableError as error:
                raise Unavailable(
                    f"the NATS server at {redact_address(self.url)} runs without JetStream (-js)"
                ) from error
            except FAILURES as error:
                raise Unavailable(
                    f"the NATS server at {redact_address(self.url)} keeps no `{settings.name}`: {error}"
                ) from error
            self._streams.add(settings.name)
        return jetstream

    async def store_message(self, settings: Any, subject: str, body: bytes, patience: float, once: str = "") -> int:
        """Put a message into a stream, again while the server is away; `once` names it, so that it is not there twice.

        The number it got. Raises Unavailable when the time passed or the server has no room, BadRequest for a message
        that is over the server's limit.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        headers = {nats.js.api.Header.MSG_ID.value: once or secrets.token_hex(12)}
        while True:
            try:
                jetstream = await self.open_stream(settings)
                return int((await jetstream.publish(subject, body, headers=headers)).seq)
            except nats.errors.MaxPayloadError as error:
                raise BadRequest(f"a message of {len(body)} bytes is over the NATS server's limit") from error
            except nats.js.errors.APIError as error:
                raise Unavailable(f"the NATS server keeps nothing more in `{settings.name}`: {error}") from error
            except (*FAILURES, Unavailable) as error:
                self._streams.discard(settings.name)
                if loop.time() >= until:
                    raise Unavailable(
                        f"the NATS server did not take a message for `{settings.name}`: {error}"
                    ) from error
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Close the connection."""
        try:
            await self.client.close()
        except FAILURES:
            return


__all__ = [
    "FAILURES",
    "SECRETS",
    "TOKEN_KEY",
    "WINDOW_SECONDS",
    "Nats",
    "local_address",
    "nats",
    "redact_address",
]
