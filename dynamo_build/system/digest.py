"""SHA-256 digests of bytes and files, and lists of them in the form of sha256sum.

Source: FIPS 180-4; the list's form is that of GNU coreutils' `sha256sum`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_bytes(content: bytes) -> str:
    """`sha256:` and the hexadecimal digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_file(path: Path | str) -> str:
    """`sha256:` and the hexadecimal digest of a file. Raises OSError."""
    with open(path, "rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def format_digests(files: Iterable[tuple[str, str]]) -> bytes:
    """(path, hexadecimal digest) pairs in sha256sum's form: `sha256sum --check` reads it."""
    return b"".join(f"{hexadecimal}  {path}\n".encode() for path, hexadecimal in files)
