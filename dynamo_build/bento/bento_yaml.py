"""bento.yaml: a manifest as YAML that people can read, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dynamo.sdk import codec
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.bento import FORMAT, BentoManifest
from dynamo_build.system.yaml import emit_yaml, is_plain_key, quote_yaml, read_yaml

NAME = "bento.yaml"


def format_manifest(manifest: BentoManifest) -> bytes:
    """The manifest as YAML; the same manifest gives the same bytes."""
    return emit_yaml(codec.to_plain(manifest), _write_key, quote_yaml).encode()


def read_manifest(folder: Path) -> BentoManifest:
    """The manifest of a bento's folder. Raises StoreError."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError as error:
        raise StoreError(f"`{folder / NAME}` cannot be read: {(error.strerror or '').lower()}") from error
    return parse_manifest(content, str(folder / NAME))


def parse_manifest(content: bytes, where: str = NAME) -> BentoManifest:
    """The manifest in some YAML. Raises StoreError."""
    document = read_yaml(content, where)
    if not isinstance(document, Mapping):
        raise StoreError(f"`{where}` is not a bento's manifest")
    written = document.get("format")
    if written != FORMAT:
        raise StoreError(
            f"`{where}` has format {written!r}, and this version reads format {FORMAT}", ["Upgrade dynamo."]
        )
    try:
        return codec.decode(BentoManifest, document)
    except (codec.CodecError, UsageError, RecursionError) as error:
        raise StoreError(f"`{where}` is damaged: {error}") from error


def _write_key(key: str) -> str:
    return key if key.isascii() and key.isidentifier() and is_plain_key(key) else quote_yaml(key)
