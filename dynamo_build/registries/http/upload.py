"""Upload of one blob into a repository: skipped if present, mounted from another repository, or sent and resumed.

Source: OCI distribution spec, "Pushing blobs", "Mounting a blob from another repository", "Pushing a blob in chunks".
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urljoin

from dynamo_build.errors import RegistryError
from dynamo_build.oci.layer import CHUNK, Readable
from dynamo_build.registries.http.client import TRIES, Client, pause

_STREAM = {"Content-Type": "application/octet-stream"}
#: Blobs up to this size go in one request; larger ones in pieces, so that a cut costs one piece.
PIECE = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is sent: digest, size, how to open it, and the repository on this registry that may hold it."""

    digest: str
    size: int
    open: Callable[[], Readable]
    mountable: str = ""


class Unfinished:
    """Where the upload of a blob into a repository goes on. Losing a note costs time and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, repository: str, digest: str) -> str:
        """The location to ask, or ""."""
        try:
            return str(json.loads(self._path(repository, digest).read_bytes())["location"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def keep(self, repository: str, digest: str, location: str) -> None:
        """Remember the location; it may hold a token, so only its owner can read it."""
        path = self._path(repository, digest)
        written = path.with_name(f".new-{path.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as out:
                json.dump({"location": location}, out)
            written.replace(path)

    def forget(self, repository: str, digest: str) -> None:
        """The upload is finished, or the registry has lost it."""
        with contextlib.suppress(OSError):
            self._path(repository, digest).unlink()

    def _path(self, repository: str, digest: str) -> Path:
        return self._folder / hashlib.sha256(f"{repository}@{digest}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Uploads into one repository."""

    client: Client
    repository: str
    unfinished: Unfinished
    piece: int = PIECE
    wait: Callable[[float], None]

    def send(self, blob: Blob, sent: Callable[[int], object] = lambda _: None) -> Literal["sent", "there", "mounted"]:
        """Make the repository hold the blob; says how: `there`, `mounted` or `sent`. Raises RegistryError."""
        if self._there(blob):
            return "there"
        if blob.size > self.piece and self._went_on(blob, sent):
            return "sent"
        mount = bool(blob.mountable) and blob.mountable != self.repository
        location = self._begin(blob, mount=mount)
        if not location:
            return "mounted"
        if blob.size <= self.piece:
            location = self._whole(location, blob)
            sent(blob.size)
        else:
            self._pieces(location, 0, blob, sent)
        return "sent"

    def _went_on(self, blob: Blob, sent: Callable[[int], object]) -> bool:
        """Whether an earlier run had begun the upload, and this one finished it."""
        location = self.unfinished.find(self._place, blob.digest)
        if not location or not location.startswith(self.client.root()):
            return False
        location, arrived = self._resumed(location, blob)
        sent(arrived)
        self._pieces(location, arrived, blob, sent)
        return True

    @property
    def _place(self) -> str:
        return f"{self.client.address}/{self.repository}"

    @property
    def scopes(self) -> tuple[str, ...]:
        return (f"repository:{self.repository}:pull,push",)

    def _there(self, blob: Blob) -> bool:
        path = f"/v2/{self.repository}/blobs/{blob.digest}"
        answer = self.client.request(
            "HEAD", path, scopes=self.scopes, expected=(200, 404), what=f"repository {self.repository}"
        )
        return answer.status == 200

    def _begin(self, blob: Blob, *, mount: bool) -> str:
        """The location to upload to; "" when the blob was mounted."""
        path, scopes = f"/v2/{self.repository}/blobs/uploads/", self.scopes
        if mount:
            source = f"?mount={quote(blob.digest)}&from={quote(blob.mountable, safe='')}"
            both = (*scopes, f"repository:{blob.mountable}:pull")
            try:
                answer = self.client.request(
                    "POST", path + source, scopes=both, headers={"Content-Length": "0"}, expected=(201, 202)
                )
            except RegistryError as error:
                if error.status not in (400, 401, 403, 404, 405):
                    raise
            else:
                return "" if answer.status == 201 else self._location(answer.url, answer.headers)
        answer = self.client.request(
            "POST",
            path,
            scopes=scopes,
            headers={"Content-Length": "0"},
            expected=(202,),
            what=f"repository {self.repository}",
        )
        return self._location(answer.url, answer.headers)

    def _location(self, url: str, headers: Mapping[str, str]) -> str:
        location = headers.get("location", "")
        if not location:
            raise RegistryError(f"`{self.client.address}` gave no upload location")
        return urljoin(url, location)

    def _whole(self, location: str, blob: Blob) -> str:
        headers = {**_STREAM, "Content-Length": str(blob.size)}
        for attempt in range(TRIES):
            try:
                self.client.request(
                    "PUT", _with_digest(location, blob.digest), scopes=self.scopes, headers=headers, body=blob.open,
                    expected=(201,), tries=1, what=f"blob {blob.digest}",
                )  # fmt: skip
                return location
            except RegistryError as error:
                # the upload may be gone, or half there: a fresh one is the same for all registries
                if not (error.temporary or error.status in (404, 416)) or attempt == TRIES - 1:
                    raise
                asked = error.after
            self.wait(pause(attempt, asked))
            if self._there(blob):
                return location
            location = self._begin(blob, mount=False)
        raise AssertionError("unreachable")

    def _pieces(self, location: str, done: int, blob: Blob, sent: Callable[[int], object]) -> None:
        failures, told = 0, done
        while done < blob.size:
            self.unfinished.keep(self._place, blob.digest, location)
            size = min(self.piece, blob.size - done)
            headers = {**_STREAM, "Content-Length": str(size), "Content-Range": f"{done}-{done + size - 1}"}
            try:
                answer = self.client.request(
                    "PATCH", location, scopes=self.scopes, headers=headers, body=_part(blob, done, size),
                    expected=(202,), tries=1, what=f"blob {blob.digest}",
                )  # fmt: skip
                location, done, failures = self._location(answer.url, answer.headers), done + size, 0
            except RegistryError as error:
                failures += 1
                if not (error.temporary or error.status in (404, 416)) or failures == TRIES:
                    raise
                self.wait(pause(failures, error.after))
                location, done = self._resumed(location, blob)
            sent(max(0, done - told))
            told = max(told, done)
        self.unfinished.keep(self._place, blob.digest, location)
        headers = {**_STREAM, "Content-Length": "0"}
        self.client.request(
            "PUT",
            _with_digest(location, blob.digest),
            scopes=self.scopes,
            headers=headers,
            expected=(201,),
            what=f"blob {blob.digest}",
        )
        self.unfinished.forget(self._place, blob.digest)

    def _resumed(self, location: str, blob: Blob) -> tuple[str, int]:
        """Where the upload goes on, and how many bytes have arrived; from the start when the registry lost it.

        The distribution registry loses an upload whose connection was cut within a piece, not between two. Nothing and
        one byte are the same range, `0-0`, so that neither is gone on with.
        """
        answer = self.client.request(
            "GET", location, scopes=self.scopes, expected=(204, 200, 400, 404, 416), what=f"blob {blob.digest}"
        )
        last = answer.headers.get("range", "").rpartition("-")[2]
        if answer.status >= 400 or not last.isdigit() or not int(last):
            return self._begin(blob, mount=False), 0
        place = self._location(answer.url, answer.headers) if "location" in answer.headers else location
        return place, min(int(last) + 1, blob.size)


def _part(blob: Blob, start: int, size: int) -> Callable[[], Readable]:
    """Opens a piece of the blob; what lies before it is read and dropped, so that the stream stays checked."""

    def open_window() -> Readable:
        stream = blob.open()
        rest = start
        while rest:
            dropped = stream.read(min(CHUNK, rest))
            if not dropped:
                break
            rest -= len(dropped)
        return _Window(stream, size)

    return open_window


class _Window(io.RawIOBase):
    def __init__(self, stream: Readable, size: int) -> None:
        self._stream, self._rest = stream, size

    def read(self, amount: int = -1, /) -> bytes:
        data = self._stream.read(self._rest if amount < 0 else min(amount, self._rest)) if self._rest else b""
        self._rest -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={quote(digest)}"
