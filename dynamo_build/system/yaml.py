"""YAML from outside, read with the safe loader."""

from __future__ import annotations

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
