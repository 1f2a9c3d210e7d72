"""The former place of `dynamo.llm.disagg.thresholds`, for one version."""

from __future__ import annotations

import warnings

from dynamo.llm.disagg.thresholds import Thresholds, set_thresholds

__all__ = ["Thresholds", "set_thresholds"]

warnings.warn("`dynamo.llm.thresholds` moved: import from `dynamo.llm`", DeprecationWarning, stacklevel=2)
