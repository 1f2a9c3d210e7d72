"""Values of a service's configuration: of the kind that the code takes, or one line that names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from dynamo.sdk.errors import BadConfiguration

T = TypeVar("T")


def setting(values: Mapping[str, Any], name: str, default: T, *, least: float = -math.inf) -> T:
    """A key of a configuration, written with dashes or underscores. Raises as `checked`."""
    return checked(name, values.get(name, values.get(name.replace("-", "_"), default)), default, least=least)


def checked(name: str, value: Any, like: T, *, least: float = -math.inf) -> T:
    """The value, of the type of `like`; a whole number is also a float, and a boolean is no number.

    Raises BadConfiguration for one of another type, and for a number below `least`.
    """
    found = float(value) if isinstance(like, float) and type(value) is int else value
    if not isinstance(found, type(like)) or isinstance(found, bool) is not isinstance(like, bool):
        raise BadConfiguration(f"`{name}` cannot be {value!r}")
    if isinstance(found, int | float) and found < least:
        raise BadConfiguration(f"`{name}` cannot be {value!r}; the least is {least:g}")
    return found
