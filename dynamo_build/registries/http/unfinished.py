"""Uploads that were not finished, remembered between runs, so that what has arrived is not sent again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path


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
