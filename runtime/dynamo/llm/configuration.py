"""Routing as a configuration file says it."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from dynamo.llm.costs import OVERLAP_WEIGHT, load_cost
from dynamo.llm.router import Mode, RouterSettings
from dynamo.sdk.errors import BadConfiguration

MODES = typing.get_args(Mode)
_NUMBERS: dict[str, type[int] | type[float]] = {
    "block_size": int,
    "temperature": float,
    "imbalance_requests": int,
    "imbalance_ratio": float,
    "approximate_seconds": float,
    "approximate_blocks": int,
}


def router_settings(values: Mapping[str, Any]) -> RouterSettings:
    """The settings in a service's configuration; its other keys are left alone.

    `router` is `kv`, `approximate`, `round-robin` or `random`; `router-cost` is `linear`, `logit` or the user's
    `module:function`; `overlap-weight` is the first one's weight; `block-size`, `router-temperature` and the other
    fields of `RouterSettings` with `router-` before them. Dashes or underscores. Raises BadConfiguration.
    """
    given = {key.replace("-", "_"): value for key, value in values.items()}
    mode = given.get("router", "kv")
    if mode not in MODES:
        raise BadConfiguration(f"`{mode}` is no way to route; there are {', '.join(MODES)}")
    found: dict[str, Any] = {"mode": mode}
    for name, kind in _NUMBERS.items():
        key = name if name == "block_size" else f"router_{name}"
        least = 1 if name == "block_size" else 0
        if key in given:
            value = given[key]
            if isinstance(value, bool) or not isinstance(value, (int, kind)) or value < least:
                raise BadConfiguration(f"`{key.replace('_', '-')}` cannot be {value!r}")
            found[name] = value
    weight = given.get("overlap_weight", OVERLAP_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise BadConfiguration(f"`overlap-weight` cannot be {weight!r}")
    return RouterSettings(cost=load_cost(str(given.get("router_cost", "linear")), float(weight)), **found)
