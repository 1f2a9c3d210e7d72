"""`${env:NAME}` and `${secret:name/key}` in a configuration: what the worker puts there when it starts.

A secret's value is in the variable `DYNAMO_SECRET_<NAME>_<KEY>`, upper case, other signs as `_`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: A whole reference; its groups are the variable of `env`, the name and the key of `secret`.
REFERENCE = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)|secret:([a-z0-9][a-z0-9.-]*)/([A-Za-z0-9._-]+))\}")


class MissingReference(ValueError):
    """A configuration refers to a variable that is not set."""


def secret_variable(name: str, key: str) -> str:
    """The environment variable that holds a key of a secret."""
    return "DYNAMO_SECRET_" + re.sub(r"[^A-Z0-9]", "_", f"{name}_{key}".upper())


def resolve_references(value: Any, environment: Mapping[str, str]) -> Any:
    """The value with its references replaced, inside objects and lists too. Raises MissingReference."""
    if isinstance(value, Mapping):
        return {name: resolve_references(item, environment) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve_references(item, environment) for item in value]
    return REFERENCE.sub(lambda found: _look_up(found, environment), value) if isinstance(value, str) else value


def _look_up(found: re.Match[str], environment: Mapping[str, str]) -> str:
    variable = found[1] or secret_variable(found[2], found[3])
    if variable not in environment:
        raise MissingReference(f"`{found[0]}` in the configuration: the variable {variable} is not set")
    return environment[variable]
