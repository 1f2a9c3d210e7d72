"""The former place of `dynamo.llm.kv_routing.processor_parts`, for one version."""

from __future__ import annotations

import warnings

from dynamo.llm.kv_routing.processor_parts import processor, routed, steps

__all__ = ["processor", "routed", "steps"]

warnings.warn("`dynamo.llm.serving` moved: import from `dynamo.llm`", DeprecationWarning, stacklevel=2)
