"""Metadata of a GGUF model file: everything before the tensors."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _LIST = 8, 9
_MANY = 1 << 24
_DEEP = 4


class NotGguf(ValueError):
    """A file is not GGUF of a version that is known here, or is damaged."""


class _Reader:
    def __init__(self, content: mmap.mmap | bytes) -> None:
        self._content = content
        self._at = 4
        self._read: dict[int, Callable[[int], Any]] = {
            **{code: self._make_reader(form) for code, form in _SCALARS.items()},
            _TEXT: lambda depth: self.read_text(),
            _LIST: self._read_list,
        }

    def read_number(self, form: str) -> Any:
        """A number, and go on behind it."""
        (value,) = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return value

    def read_text(self) -> str:
        """A text."""
        size = self.read_number("<Q")
        start = self._at
        if size > len(self._content) - start:
            raise NotGguf("a text goes beyond the end of the file")
        self._at += size
        return self._content[start : self._at].decode("utf-8", "surrogateescape")

    def read_value(self, depth: int = 0) -> Any:
        """A value of any type."""
        return self._read_typed(self.read_number("<I"), depth)

    def _read_typed(self, code: int, depth: int) -> Any:
        if code not in self._read:
            raise NotGguf(f"a value has the unknown type {code}")
        return self._read[code](depth)

    def _read_list(self, depth: int) -> list[Any]:
        code, count = self.read_number("<I"), self.read_number("<Q")
        if count > _MANY or depth > _DEEP:
            raise NotGguf(f"a list of {count} values is too large")
        if code in _SCALARS:
            form = f"<{count}{_SCALARS[code][1]}"
            values = list(struct.unpack_from(form, self._content, self._at))
            self._at += struct.calcsize(form)
            return values
        return [self._read_typed(code, depth + 1) for _ in range(count)]

    def _make_reader(self, form: str) -> Callable[[int], Any]:
        return lambda depth: self.read_number(form)


def read_metadata(path: Path) -> dict[str, Any]:
    """The keys and values of a file. Raises NotGguf, OSError.

    Source: the GGUF specification, versions 2 and 3, little-endian.
    """
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise NotGguf(f"`{path.name}` is empty") from error
        with content:
            if content[:4] != b"GGUF":
                raise NotGguf(f"`{path.name}` is not GGUF")
            return _read_keys(_Reader(content), path.name)


def _read_keys(reader: _Reader, name: str) -> dict[str, Any]:
    try:
        version = reader.read_number("<I")
        if version not in (2, 3):
            raise NotGguf(f"`{name}` is GGUF of version {version}; 2 and 3 are known")
        reader.read_number("<Q")
        count = reader.read_number("<Q")
        if count > _MANY:
            raise NotGguf(f"`{name}` claims {count} keys")
        return {reader.read_text(): reader.read_value() for _ in range(count)}
    except (struct.error, UnicodeError, OverflowError) as error:
        raise NotGguf(f"`{name}` is damaged: {error}") from error
