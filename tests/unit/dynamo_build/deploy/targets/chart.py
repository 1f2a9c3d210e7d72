"""Renders the few template expressions that our charts use, so that charts are tested where no helm is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\{\{ (.*?) \}\}")


def rendered(folder: Path, namespace: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The objects of a chart with its values, or others."""
    values = values or yaml.safe_load((folder / "values.yaml").read_text())
    found = []
    for path in sorted((folder / "templates").glob("*.yaml")):
        text = _EXPRESSION.sub(lambda match: _value(match[1], values, namespace), path.read_text())
        found.append(yaml.safe_load(text))
    return found


def _value(expression: str, values: dict[str, Any], namespace: str) -> str:
    if literal := re.fullmatch(r'"(\{+)"', expression):
        return literal[1]
    place, _, function = expression.partition(" | ")
    if place == ".Release.Namespace":
        found: Any = namespace
    else:
        if index := re.match(r'\(index \.Values\.services ("[^"]*")\)', place):
            found, rest = values["services"][json.loads(index[1])], place[index.end() :]
        else:
            assert place.startswith(".Values."), expression
            found, rest = values, place.removeprefix(".Values")
        for step in filter(None, rest.split(".")):
            found = found[step]
    return str(int(found)) if function == "int" else json.dumps(found)
