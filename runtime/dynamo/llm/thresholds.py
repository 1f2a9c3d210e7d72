"""The former place of `dynamo.llm.disagg.policy`, for one version."""

from __future__ import annotations

import warnings

from dynamo.llm.disagg.policy import Thresholds, set_thresholds

__all__ = ["Thresholds", "set_thresholds"]

warnings.warn("`dynamo.llm.thresholds` moved: import from `dynamo.llm`", DeprecationWarning, stacklevel=2)
