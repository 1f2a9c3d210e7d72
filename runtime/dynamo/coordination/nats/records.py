"""Records in a key-value bucket of a NATS server."""

from __future__ import annotations

from typing import Any

import nats.js.errors

from dynamo.coordination.nats.connection import FAILURES, Nats
from dynamo.sdk.errors import Unavailable

#: How often a bucket that has entries and showed none is read.
_LOOKS = 5


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
        try:
            bucket = await self._open_bucket()
            for _ in range(_LOOKS):
                found, seen = await self._read_once(bucket)
                # The client may mark the end before the first entry: its count of what is pending and the entries come
                # on different ways. So a bucket is believed to be empty only when its status says so too.
                if seen or not (await bucket.status()).values:
                    break
        except FAILURES as error:
            raise self._to_unavailable(error) from error
        return found

    @staticmethod
    async def _read_once(bucket: Any) -> tuple[dict[str, bytes], int]:
        """The records, and how many entries came, those of deleted records among them."""
        found: dict[str, bytes] = {}
        seen = 0
        watching = await bucket.watchall()
        try:
            async for entry in watching:
                if entry is None:
                    break
                seen += 1
                if not entry.operation:
                    found[entry.key] = entry.value or b""
        finally:
            await watching.stop()
        return found, seen

    async def _open_bucket(self) -> Any:
        return await self._connection.open_bucket(self._name, history=1)

    def _to_unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the NATS server does not answer for `{self._name}`: {error}")
