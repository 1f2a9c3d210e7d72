"""Download of a blob from a registry, resumed where the connection broke.

Source: RFC 9110 section 14 (range requests), which the OCI distribution spec lets a registry answer blobs with.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamo_build.errors import RegistryError
from dynamo_build.oci.layer import CHUNK, Readable
from dynamo_build.registries.http.client import TRIES, pause
from dynamo_build.registries.http.connection import Answer


class Download:
    """A stream of `size` bytes; `ask` requests the blob from an offset on. What it holds is checked by who reads it."""

    def __init__(self, ask: Callable[[int], Answer], digest: str, size: int, wait: Callable[[float], None]) -> None:
        self._ask, self._digest, self._size, self._wait = ask, digest, size, wait
        self._done = self._failures = 0
        self._stream: Readable | None = self._opened()

    def read(self, amount: int = -1, /) -> bytes:
        """Up to `amount` bytes, all for a negative one. Raises RegistryError when it is cut again and again."""
        if amount < 0:
            pieces = []
            while piece := self.read(CHUNK):
                pieces.append(piece)
            return b"".join(pieces)
        while True:
            try:
                if self._stream is None:
                    self._stream = self._opened()
                data = self._stream.read(amount)
                if not data and amount and self._done < self._size:
                    raise RegistryError(
                        f"blob {self._digest} ended after {self._done} of {self._size} bytes", temporary=True
                    )
            except RegistryError as error:
                self.close()
                self._failures += 1
                if not error.temporary or self._failures >= TRIES:
                    raise
                self._wait(pause(self._failures - 1, error.after))
                continue
            if data:
                self._done += len(data)
                self._failures = 0
            return data

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _opened(self) -> Readable:
        answer = self._ask(self._done)
        assert answer.stream is not None
        if self._done and answer.status != 206:  # a registry without ranges begins again
            rest = self._done
            while rest and (dropped := answer.stream.read(min(CHUNK, rest))):
                rest -= len(dropped)
        return answer.stream
