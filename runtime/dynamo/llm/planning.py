"""The former place of `dynamo.llm.planner.service`, for one version."""

from __future__ import annotations

import warnings

from dynamo.llm.planner.service import Planner, planner, planner_settings, scaler_of

__all__ = ["Planner", "planner", "planner_settings", "scaler_of"]

warnings.warn("`dynamo.llm.planning` moved: import from `dynamo.llm.planner`", DeprecationWarning, stacklevel=2)
