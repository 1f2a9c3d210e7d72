"""Former places of names that authors import: they work for one version, and say where to import from."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [
        ("serving", "processor", "dynamo.llm"),
        ("serving", "routed", "dynamo.llm"),
        ("serving", "steps", "dynamo.llm"),
        ("thresholds", "set_thresholds", "dynamo.llm"),
        ("planning", "planner", "dynamo.llm.planner"),
    ],
)
def test_the_former_place_leads_to_the_new_one(module, name, home):
    """The same object, and a warning that names the new module."""
    sys.modules.pop(f"dynamo.llm.{module}", None)
    with pytest.warns(DeprecationWarning, match=f"`{home}`"):
        former = importlib.import_module(f"dynamo.llm.{module}")
    assert getattr(former, name) is getattr(importlib.import_module(home), name)
