"""Manifests as text: every string quoted, so that no reader takes a version such as `1234e56` for a number.

Source: YAML 1.2 section 5.7 (escapes) and 7.3.1 (double-quoted); kubectl reads YAML 1.1, where `y` is a boolean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from dynamo_build.errors import DeployError

#: Keys that stay bare: words of three letters or more that no YAML version reads as anything else.
_BARE_KEY = re.compile(r"[A-Za-z][A-Za-z_]{2,}", re.ASCII)
_READ_AS_ELSE = frozenset({"yes", "true", "false", "off", "null", "nan", "inf"})


def yaml_documents(documents: Iterable[Mapping[str, Any]]) -> str:
    """All documents as one YAML stream."""
    return "---\n".join(yaml_document(document) for document in documents)


def yaml_document(document: Mapping[str, Any]) -> str:
    """One document in block style. Raises DeployError for what is not JSON."""
    lines: list[str] = []
    _mapping(document, "", lines)
    return "\n".join(lines) + "\n"


def json_documents(documents: Iterable[Mapping[str, Any]]) -> str:
    """All documents as one `List`, which kubectl reads as it reads a YAML stream."""
    listing = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    return json.dumps(listing, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _mapping(value: Mapping[str, Any], indent: str, lines: list[str], first: str | None = None) -> None:
    prefix = indent if first is None else first
    for key, item in value.items():
        _item(f"{prefix}{_key(key)}:", item, indent, lines)
        prefix = indent


def _item(head: str, item: Any, indent: str, lines: list[str]) -> None:
    if isinstance(item, str):
        lines.append(f"{head} {quoted(item)}")
    elif isinstance(item, Mapping) and item:
        lines.append(head)
        _mapping(item, indent + "  ", lines)
    elif isinstance(item, Sequence) and item:
        lines.append(head)
        _sequence(item, indent, lines)
    else:
        lines.append(f"{head} {_scalar(item)}")


def _sequence(value: Sequence[Any], indent: str, lines: list[str]) -> None:
    for item in value:
        if isinstance(item, Mapping) and item:
            _mapping(item, indent + "  ", lines, first=f"{indent}- ")
        elif isinstance(item, Sequence) and not isinstance(item, str) and item:
            lines.append(f"{indent}-")
            _sequence(item, indent + "  ", lines)
        else:
            lines.append(f"{indent}- {_scalar(item)}")


@lru_cache(4096)
def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) and key.lower() not in _READ_AS_ELSE else quoted(key)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (bool, int, float, type(None))):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, Sequence):
        return "[]"
    raise DeployError(f"a {type(value).__name__} cannot be written into a manifest")


def quoted(text: str) -> str:
    """A YAML double-quoted scalar that is also readable: printable characters stay as they are."""
    if text.isascii() and text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
    code = ord(character)
    return named.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
