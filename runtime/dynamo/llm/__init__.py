"""What serving language models adds to the runtime: KV events and their index, routing, disaggregation.

The names below are for authors of workers, routers and cost functions; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamo.llm.disagg.policy import DisaggregatedRouter, DisaggSettings, KvHandoff, set_thresholds
    from dynamo.llm.generation import EngineRequest, EngineStep
    from dynamo.llm.kv.approximate import ApproxKvIndexer
    from dynamo.llm.kv.engine_events import decode_batch
    from dynamo.llm.kv.hashing import block_hashes
    from dynamo.llm.kv.index import KvIndexer
    from dynamo.llm.kv.load import ForwardPassMetrics, KvMetricsAggregator
    from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
    from dynamo.llm.routing.client import RoutedClient
    from dynamo.llm.routing.cost import Candidate, Cost, Prompt
    from dynamo.llm.routing.frontend import processor, routed, steps
    from dynamo.llm.routing.migration import resumed
    from dynamo.llm.routing.router import Decision, KvRouter, RouterSettings
    from dynamo.llm.routing.service import RoutingService, routing
    from dynamo.llm.routing.settings import router_settings

_HOME = {
    "ApproxKvIndexer": "kv.approximate",
    "Candidate": "routing.cost",
    "Cost": "routing.cost",
    "Decision": "routing.router",
    "DisaggSettings": "disagg.policy",
    "DisaggregatedRouter": "disagg.policy",
    "EngineRequest": "generation",
    "EngineStep": "generation",
    "ForwardPassMetrics": "kv.load",
    "KvEventPublisher": "kv.publisher",
    "KvHandoff": "disagg.policy",
    "KvIndexer": "kv.index",
    "KvMetricsAggregator": "kv.load",
    "KvRouter": "routing.router",
    "Prompt": "routing.cost",
    "RoutedClient": "routing.client",
    "RouterSettings": "routing.router",
    "RoutingService": "routing.service",
    "WorkerMetricsPublisher": "kv.publisher",
    "block_hashes": "kv.hashing",
    "decode_batch": "kv.engine_events",
    "processor": "routing.frontend",
    "resumed": "routing.migration",
    "routed": "routing.frontend",
    "router_settings": "routing.settings",
    "routing": "routing.service",
    "set_thresholds": "disagg.policy",
    "steps": "routing.frontend",
}
__all__ = [
    "ApproxKvIndexer",
    "Candidate",
    "Cost",
    "Decision",
    "DisaggSettings",
    "DisaggregatedRouter",
    "EngineRequest",
    "EngineStep",
    "ForwardPassMetrics",
    "KvEventPublisher",
    "KvHandoff",
    "KvIndexer",
    "KvMetricsAggregator",
    "KvRouter",
    "Prompt",
    "RoutedClient",
    "RouterSettings",
    "RoutingService",
    "WorkerMetricsPublisher",
    "block_hashes",
    "decode_batch",
    "processor",
    "resumed",
    "routed",
    "router_settings",
    "routing",
    "set_thresholds",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `dynamo.llm` has no `{name}`")
    return getattr(importlib.import_module(f"dynamo.llm.{_HOME[name]}"), name)
