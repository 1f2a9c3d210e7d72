"""Compressors: what each makes can be read by anyone, is always the same, and is named."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys

import pytest
import zstandard

from dynamo_build.errors import ToolMissing, UsageError
from dynamo_build.oci import layer
from dynamo_build.oci.compression import GZIP, ZSTD, create_compressor
from dynamo_build.oci.layer import Entry

TREE = [Entry(path=f"app/{name}.py", content=f"import {name}\n".encode() * 500) for name in ("json", "math", "os")]


def made(name: str) -> bytes:
    out = io.BytesIO()
    layer.write_layer(TREE, out, create_compressor(name))
    return out.getvalue()


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd"])
def test_the_same_tar_comes_out(name: str) -> None:
    """Twice the same bytes, which unpack to the tar of the diff id."""
    blob = made(name)
    assert blob == made(name)
    opened = (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob)).read() if name == "zstd" else gzip.decompress(blob)
    )
    assert f"sha256:{hashlib.sha256(opened).hexdigest()}" == layer.compute_diff_id(TREE)


def test_the_header_says_nothing() -> None:
    """No name and no time in a gzip header (RFC 1952)."""
    for name in ("gzip", "zlib"):
        assert made(name)[:8] == b"\x1f\x8b\x08" + bytes(5)


def test_each_is_named_with_its_version() -> None:
    """What decides the bytes is in the identity."""
    names = {name: create_compressor(name).identity for name in ("gzip", "zlib", "zstd")}
    assert (
        names["gzip"].startswith("isal-")
        and names["gzip"].endswith("-1-1024k")
        and names["zlib"].startswith("zlib-")
        and names["zstd"].startswith("zstd-")
    )
    assert [create_compressor(name).media_type for name in names] == [GZIP, GZIP, ZSTD]
    assert create_compressor("") == create_compressor("gzip")


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library and an unknown name are one line each."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ToolMissing, match="needs the package `zstandard`"):
        create_compressor("zstd")
    with pytest.raises(UsageError, match="not a compression"):
        create_compressor("brotli")
