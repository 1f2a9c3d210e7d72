"""YAML: read with the safe loader, written with every string in double quotes.

No reader takes a quoted string for anything else, such as the version `1234e56` for a number. Source: YAML 1.2 sections
5.7 (escapes) and 7.3.1 (double-quoted style); kubectl and PyYAML read YAML 1.1, where `y` is a boolean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynamo_build.errors import StoreError


def read_yaml(content: bytes, where: str) -> Any:
    """Parse YAML from outside. Raises StoreError with the line."""
    import yaml

    try:
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StoreError(f"{where}{describe_yaml_error(error)}") from error


def describe_yaml_error(error: Exception) -> str:
    """`:LINE: is not YAML: …` of a parser's error, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    line = f":{mark.line + 1}" if mark is not None else ""
    return f"{line}: not YAML: {' '.join(str(problem).split())}"


def emit_yaml(document: Mapping[str, Any], key: Callable[[str], str], text: Callable[[str], str]) -> str:
    """One JSON-like document in block style, ending with a newline; the same document gives the same text.

    `key` and `text` write keys and strings: the documents that have digests differ in which keys stay bare and in how
    control characters are escaped. Raises TypeError for what JSON does not have, ValueError for a number that is not
    finite.
    """
    lines: list[str] = []
    _Emitter(key, text, lines).mapping(document, "", "")
    return "\n".join(lines) + "\n"


def quote_yaml(text: str, named: Mapping[str, str] | None = None) -> str:
    """A double-quoted scalar. Printable characters stay; `named` are escapes to prefer over the numeric ones."""
    if text.isascii() and text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + "".join(_escape(character, named or {}) for character in text) + '"'


def is_plain_key(key: str) -> bool:
    """Whether a key of ASCII letters, digits and underscores is a string for every YAML version without quotes."""
    return len(key) > 2 and key.lower() not in _READ_AS_ELSE


_READ_AS_ELSE = frozenset({"yes", "true", "false", "off", "null", "nan", "inf"})


class _Emitter:
    __slots__ = ("_key", "_lines", "_text")

    def __init__(self, key: Callable[[str], str], text: Callable[[str], str], lines: list[str]) -> None:
        self._key, self._text, self._lines = key, text, lines

    def mapping(self, value: Mapping[str, Any], first: str, indent: str) -> None:
        """Write the items of a mapping, the first one after `first`, the others after `indent`."""
        for key, item in value.items():
            head = f"{first}{self._key(key)}:"
            first = indent
            if isinstance(item, str):
                self._lines.append(f"{head} {self._text(item)}")
            elif isinstance(item, Mapping) and item:
                self._lines.append(head)
                self.mapping(item, indent + "  ", indent + "  ")
            elif isinstance(item, Sequence) and item:
                self._lines.append(head)
                self._sequence(item, indent)
            else:
                self._lines.append(f"{head} {_scalar(item)}")

    def _sequence(self, value: Sequence[Any], indent: str) -> None:
        for item in value:
            if isinstance(item, str):
                self._lines.append(f"{indent}- {self._text(item)}")
            elif isinstance(item, Mapping) and item:
                self.mapping(item, f"{indent}- ", indent + "  ")
            elif isinstance(item, Sequence) and item:
                self._lines.append(f"{indent}-")
                self._sequence(item, indent + "  ")
            else:
                self._lines.append(f"{indent}- {_scalar(item)}")


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, Sequence):
        return "[]"
    if not isinstance(value, (bool, int, float, type(None))):
        raise TypeError(f"a {type(value).__name__} cannot be written")
    written = json.dumps(value, allow_nan=False)
    # YAML 1.1 takes `1e+16`, which has no point, for a string.
    return written.replace("e", ".0e") if isinstance(value, float) and "." not in written else written


def _escape(character: str, named: Mapping[str, str]) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return named.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
