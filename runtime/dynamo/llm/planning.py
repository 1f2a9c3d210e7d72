"""The former place of `dynamo.llm.planner.planner_service`, for one version."""

from __future__ import annotations

import warnings

from dynamo.llm.planner.planner_service import Planner, create_scaler, planner, planner_settings

__all__ = ["Planner", "create_scaler", "planner", "planner_settings"]

warnings.warn("`dynamo.llm.planning` moved: import from `dynamo.llm.planner`", DeprecationWarning, stacklevel=2)
