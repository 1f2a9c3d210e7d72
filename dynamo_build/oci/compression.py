"""Compressors of layers by name and exact version: other libraries give other bytes.

Source: OCI image spec, media types of layers; RFC 1952 (gzip: a header without name or time); RFC 8878 (zstd).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dynamo_build.errors import ToolMissing, UsageError

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressor:
    """`identity` names the library, its version and the level; the same tar gives the same blob under one identity."""

    identity: str
    media_type: str = GZIP
    start: Callable[[], Any] = field(repr=False, compare=False)


def _zlib(level: int) -> Compressor:
    return Compressor(
        identity=f"zlib-{zlib.ZLIB_RUNTIME_VERSION}-{level}",
        start=lambda: zlib.compressobj(level, zlib.DEFLATED, 31),
    )


#: What every Python has, and the smallest of the gzip ones: the same bytes wherever the library is the same.
DEFAULT = _zlib(6)
#: ISA-L's fast level gives the same bytes on every x86 processor; its level 3 does not.
_ISAL_LEVEL = 1
#: How much a compressor is given at a time. ISA-L's bytes depend on it, so it is a part of what names them.
BLOCK = 1 << 20
_ZSTD_LEVEL = 3


def compressor(name: str) -> Compressor:
    """`gzip` (ISA-L: several times faster), `zlib` (smaller) or `zstd`. Raises UsageError or ToolMissing."""
    match name:
        case "" | "gzip":
            library = _library("isal.isal_zlib", "isal")
            version = str(importlib.import_module("isal").__version__)
            return Compressor(
                identity=f"isal-{version}-{_ISAL_LEVEL}-{BLOCK >> 10}k",
                start=lambda: library.compressobj(_ISAL_LEVEL, library.DEFLATED, 31),
            )
        case "zlib":
            return DEFAULT
        case "zstd":
            library = _library("zstandard", "zstandard")
            version = f"{library.__version__}-{'.'.join(map(str, library.ZSTD_VERSION))}"
            return Compressor(
                identity=f"zstd-{version}-{_ZSTD_LEVEL}",
                media_type=ZSTD,
                start=lambda: library.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj(),
            )
    raise UsageError(f"`{name}` is not a compression", ["Use gzip, zlib or zstd."])


def inflater(media_type: str) -> Any:
    """Undoes the compression of a layer of this kind: `decompress(data)` and `flush()`. Raises ToolMissing for zstd."""
    if media_type.endswith("+zstd"):
        return _library("zstandard", "zstandard").ZstdDecompressor().decompressobj()
    return zlib.decompressobj(31) if media_type.endswith("+gzip") else _Plain()


class _Plain:
    def decompress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _library(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ToolMissing(
            f"the compression needs the package `{distribution}`", [f"Install it: `pip install {distribution}`."]
        ) from None
