"""Values as MessagePack and back: anything pydantic, a dataclass or JSON can say; bytes stay bytes.

What comes back is a `Record`: a dict whose fields are attributes too, whatever class the caller knows.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel

_METHODS = frozenset(dir(dict)) | {"data", "model_dump", "model_dump_json"}


class Record(dict[str, Any]):
    """An object from another process, its fields by key and by attribute; nested ones likewise."""

    def __getattr__(self, name: str) -> Any:
        try:
            return value_of(self[name])
        except KeyError:
            raise AttributeError(f"the answer has no field {name!r}; it has {', '.join(map(repr, self))}") from None

    def model_dump(self) -> dict[str, Any]:
        """The fields as a plain dict."""
        return dict(self)

    def model_dump_json(self) -> str:
        """The fields as JSON."""
        return msgspec.json.encode(self).decode()


class ShadowingRecord(Record):
    """A record with a field that is also a dict's method: its attribute is the field, `json` needs `model_dump()`."""

    def __getattribute__(self, name: str) -> Any:
        if name in _METHODS and name in self:
            return value_of(self[name])
        return super().__getattribute__(name)


def value_of(value: Any) -> Any:
    """A decoded value as callers see it: dicts become records, also those in a list."""
    if type(value) is dict:
        return Record(value) if _METHODS.isdisjoint(value) else ShadowingRecord(value)
    if type(value) is list:
        return [value_of(item) for item in value]
    return value


def _simplify_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if isinstance(value, BaseException):
        raise TypeError(f"{type(value).__name__} is an error, not a value")
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "tolist"):  # arrays and their scalars, without knowing their library
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent; return a pydantic model or plain data")


_encode = msgspec.msgpack.Encoder(enc_hook=_simplify_value).encode
_decode = msgspec.msgpack.Decoder().decode
_json = msgspec.json.Encoder(enc_hook=_simplify_value).encode


LARGE = 64 * 1024
_BYTES = b"\xc6"  # and a length of 32 bits: one copy, where the encoder would copy with every growth


def encode(value: Any) -> bytes:
    """A value as MessagePack. Raises TypeError, ValueError or OverflowError for what cannot be sent."""
    if isinstance(value, BaseModel):
        value = value.__pydantic_serializer__.to_python(value, by_alias=True)
    elif type(value) is bytes and len(value) > LARGE:
        return b"".join((_BYTES, len(value).to_bytes(4, "big"), value))
    return _encode(value)


def decode(payload: bytes | memoryview | msgspec.Raw) -> Any:
    """MessagePack as plain values. Raises msgspec.DecodeError."""
    return _decode(payload)


def to_json(value: Any) -> bytes:
    """A value as JSON text. Raises TypeError for what JSON cannot say."""
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value, by_alias=True)
    return _json(value)
