"""How long a test tries: little in `make test`, much more under `make campaign`."""

from __future__ import annotations

import os

CAMPAIGN = os.environ.get("CAMPAIGN") == "1"
FACTOR = int(os.environ.get("CAMPAIGN_FACTOR", "40" if CAMPAIGN else "1"))


def examples(count: int) -> int:
    """That many examples of a property; times CAMPAIGN_FACTOR under `make campaign`."""
    return count * FACTOR


def points(few: int, many: int) -> int:
    """How many places a fault is put into."""
    return many if CAMPAIGN else few
