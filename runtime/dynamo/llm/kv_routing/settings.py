"""Routing as a configuration file says it."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from dynamo.llm.kv_routing.cost import OVERLAP_WEIGHT, load_cost
from dynamo.llm.kv_routing.router import Mode, RouterSettings
from dynamo.sdk.config import read_setting
from dynamo.sdk.errors import BadConfiguration

MODES = typing.get_args(Mode)
#: The keys of numbers, and the least of each.
_NUMBERS = {
    "block-size": 1,
    "router-temperature": 0,
    "router-imbalance-requests": 0,
    "router-imbalance-ratio": 0,
    "router-approximate-seconds": 0,
    "router-approximate-blocks": 0,
}


def router_settings(values: Mapping[str, Any]) -> RouterSettings:
    """The settings in a service's configuration; its other keys are left alone.

    `router` is `kv`, `approximate`, `round-robin` or `random`; `router-cost` is `linear`, `logit` or the user's
    `module:function`; `overlap-weight` is the first one's weight; `block-size`, `router-temperature` and the other
    fields of `RouterSettings` with `router-` before them. Dashes or underscores. Raises BadConfiguration.
    """
    mode = values.get("router", "kv")
    if mode not in MODES:
        raise BadConfiguration(f"`{mode}` is not a routing mode; there are {', '.join(MODES)}")
    found, standard = {}, RouterSettings()
    for key, least in _NUMBERS.items():
        name = key.removeprefix("router-").replace("-", "_")
        found[name] = read_setting(values, key, getattr(standard, name), least=least)
    weight = read_setting(values, "overlap-weight", OVERLAP_WEIGHT)
    return RouterSettings(mode=mode, cost=load_cost(read_setting(values, "router-cost", "linear"), weight), **found)
