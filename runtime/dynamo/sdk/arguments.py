"""`--Service.key=value` on a command line, as a configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

_DIGITS = re.compile(r"[+-]?[0-9]{1,4000}", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_NEGATIVE = re.compile(r"-[0-9.]", re.ASCII)
_FORM = "write `--Service.key=value`"


class ArgumentError(ValueError):
    """An argument that is not of the form `--Service.key=value`; the message names it."""


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Arguments as a nested dictionary.

    Forms: `--S.a.b=v`, `--S.a.b v`, `--S.a.b = v`, and `--S.flag` for true. Values are JSON where they parse as such,
    else digits an int, a simple float a float, true/false in any case a bool, and otherwise the text. What lies under
    `ServiceArgs.envs` stays text. Later arguments win; dictionaries merge. Raises ArgumentError.
    """
    result: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if not argument.startswith("--"):
            raise ArgumentError(f"unexpected argument `{argument}`: {_FORM}")
        path, equals, text = argument[2:].partition("=")
        given = bool(equals)
        if not given and position < len(arguments) and arguments[position] == "=":
            if position + 1 >= len(arguments):
                raise ArgumentError(f"`{argument} =` has no value: {_FORM}")
            given, text = True, arguments[position + 1]
            position += 2
        elif not given and position < len(arguments) and is_value(arguments[position]):
            given, text = True, arguments[position]
            position += 1
        keys = path.strip().split(".")
        if len(keys) < 2:
            raise ArgumentError(f"`{argument}` names no service and key: {_FORM}")
        if not all(keys):
            raise ArgumentError(f"`{argument}` has an empty name between its dots: {_FORM}")
        _set_value(result, keys, _parse_value(keys, text) if given else True)
    return result


def is_value(argument: str) -> bool:
    """Whether what follows `--S.key` is its value, and not the next option."""
    return not argument.startswith("-") or bool(_NEGATIVE.match(argument)) or argument == "-"


def _set_value(into: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = into.get(key)
        if not isinstance(inner, dict):
            inner = into[key] = {}
        into = inner
    last = into.get(keys[-1])
    into[keys[-1]] = merge_values(last, value) if isinstance(last, dict) and isinstance(value, dict) else value


def _parse_value(keys: list[str], text: str) -> Any:
    if keys[1:3] == ["ServiceArgs", "envs"] and len(keys) > 3:
        return text
    value = parse_text(text)
    if keys[1:] == ["ServiceArgs", "envs"] and isinstance(value, dict):
        return {key: item if isinstance(item, str) else json.dumps(item) for key, item in value.items()}
    return value


def parse_text(text: str) -> Any:
    """The value that a text stands for, by the rules of `parse_arguments`."""
    try:
        return json.loads(text, parse_float=_parse_finite, parse_constant=_parse_finite)
    except (ValueError, RecursionError):
        pass
    stripped = text.strip()
    if _DIGITS.fullmatch(stripped):
        return int(stripped)
    if _FLOAT.fullmatch(stripped) and math.isfinite(float(stripped)):
        return float(stripped)
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    return text


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def merge_values(lower: Any, upper: Any) -> Any:
    """`upper` over `lower`: dictionaries merge deeply, anything else is replaced. Neither is changed."""
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    result = dict(lower)
    for key, value in upper.items():
        result[key] = merge_values(result[key], value) if key in result else value
    return result
