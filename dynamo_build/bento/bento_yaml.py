"""bento.yaml: a manifest as YAML that people can read, and back.

Source: YAML 1.2 section 5.7 and 7.3.1: every string is double-quoted, so no reader takes one for anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.bento import FORMAT, BentoManifest
from dynamo_build.system.yaml import read_yaml

NAME = "bento.yaml"


def dump(manifest: BentoManifest) -> bytes:
    """The manifest as YAML; the same manifest gives the same bytes."""
    return ("\n".join(_mapping(codec.plain(manifest), "")) + "\n").encode()


def load(folder: Path) -> BentoManifest:
    """The manifest of a bento's folder. Raises StoreError."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError as error:
        raise StoreError(f"`{folder / NAME}` cannot be read: {(error.strerror or '').lower()}") from error
    return parse(content, str(folder / NAME))


def parse(content: bytes, where: str = NAME) -> BentoManifest:
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


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        yield from _item(f"{indent}{key if _bare(key) else _quoted(key)}:", item, indent)


def _item(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _mapping(item, indent + "  ")
    elif isinstance(item, list) and item:
        yield head
        for part in item:
            yield from _entry(part, indent)
    else:
        yield f"{head} {_scalar(item)}"


def _entry(part: Any, indent: str) -> Iterator[str]:
    if isinstance(part, Mapping) and part:
        first, *rest = _mapping(part, indent + "  ")
        yield f"{indent}- {first.lstrip(' ')}"
        yield from rest
    elif isinstance(part, list) and part:
        yield f"{indent}-"
        for inner in part:
            yield from _entry(inner, indent + "  ")
    else:
        yield f"{indent}- {_scalar(part)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 takes `1e+16` for a string
    return json.dumps(value, allow_nan=False)


def _bare(key: str) -> bool:
    return key.isascii() and key.isidentifier() and key.lower() not in _ELSE and len(key) > 2


_ELSE = frozenset({"yes", "true", "false", "off", "null", "nan", "inf"})


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable():
        return json.dumps(text)
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
