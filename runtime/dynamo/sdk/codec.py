"""Frozen dataclasses to canonical JSON and back; shared by the SDK, the toolchain and the workers.

Canonical: UTF-8, keys sorted, no spaces, no NaN. `decode` builds values from parsed JSON by their annotations and
refuses what does not fit, so a hostile or old document is a `CodecError`, never a half-made value.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class CodecError(ValueError):
    """A document does not have the shape of the value it should become."""


def to_plain(value: Any) -> Any:
    """The value as JSON types: dataclasses and mappings become dicts, tuples and frozensets lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return str(value)


def encode_canonical(value: Any) -> bytes:
    """Canonical JSON of a value: what digests are taken over."""
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def encode_ordered(value: Any) -> bytes:
    """As `canonical`, with keys as they came: for a configuration, whose order is that of a library's arguments."""
    return json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def encode_pretty(value: Any) -> str:
    """JSON for people: indented, keys in the order of the value's fields."""
    return json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def decode_json(cls: type[T], document: str | bytes) -> T:
    """Parse JSON and decode it. Raises CodecError."""
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise CodecError(f"not JSON: {error}") from error
    return decode(cls, parsed)


def decode(cls: type[T], document: Any, where: str = "") -> T:
    """Build a dataclass from parsed JSON. Missing fields take their defaults, unknown ones are refused."""
    if not isinstance(document, Mapping):
        raise CodecError(f"{where or cls.__name__}: expected an object, got {type(document).__name__}")
    hints = _read_hints(typing.cast(Any, cls))
    unknown = sorted(set(map(str, document)) - set(hints))
    if unknown:
        raise CodecError(f"{where or cls.__name__}: unknown field {unknown[0]!r}")
    values = {
        name: _convert_value(hints[name], item, f"{where}.{name}" if where else name) for name, item in document.items()
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise CodecError(f"{where or cls.__name__}: {error}") from error


@functools.cache
def _read_hints(cls: type) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(cls)}
    return {name: hint for name, hint in typing.get_type_hints(cls).items() if name in names}


def _convert_value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise CodecError(f"{where}: expected a list, got {type(value).__name__}")
        arguments = typing.get_args(hint)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
        if len(arguments) != len(value):
            raise CodecError(f"{where}: expected {len(arguments)} items, got {len(value)}")
        return tuple(_convert_value(kind, item, where) for kind, item in zip(arguments, value, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise CodecError(f"{where}: expected an object, got {type(value).__name__}")
        item_hint = typing.get_args(hint)[1]
        return {str(key): _convert_value(item_hint, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is not int or not isinstance(value, bool)):
        return value
    if isinstance(hint, type) and isinstance(value, str) and hasattr(hint, "parse"):
        return hint.parse(value)
    raise CodecError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {type(value).__name__}")


def _convert_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    failures = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _convert_value(choice, value, where)
        except CodecError as error:
            failures.append(str(error))
    raise CodecError(failures[0] if failures else f"{where}: expected null")
