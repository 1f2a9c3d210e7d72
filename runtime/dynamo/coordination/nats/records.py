"""Records in a key-value bucket of a NATS server."""

from __future__ import annotations

from typing import Any

import nats.js.errors

from dynamo.coordination.nats.connection import FAILURES, Nats
from dynamo.sdk.errors import Unavailable


class NatsRecords:
    """Records that last as long as the server's store."""

    def __init__(self, connection: Nats, name: str) -> None:
        self._connection = connection
        self._name = name

    async def create(self, key: str, value: bytes) -> bool:
        try:
            await (await self._open_bucket()).create(key, value)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False
        except FAILURES as error:
            raise self._to_unavailable(error) from error
        return True

    async def delete(self, key: str) -> bool:
        if key not in await self.read_all():
            return False
        try:
            await (await self._open_bucket()).delete(key)
        except FAILURES as error:
            raise self._to_unavailable(error) from error
        return True

    async def read_all(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        try:
            watching = await (await self._open_bucket()).watchall()
            try:
                async for entry in watching:
                    if entry is None:
                        break
                    if not entry.operation:
                        found[entry.key] = entry.value or b""
            finally:
                await watching.stop()
        except FAILURES as error:
            raise self._to_unavailable(error) from error
        return found

    async def _open_bucket(self) -> Any:
        return await self._connection.open_bucket(self._name, history=1)

    def _to_unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the NATS server does not answer for `{self._name}`: {error}")
