"""Language models: KV events and their index, routing, disaggregation, planning, tokens and text.

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
    from dynamo.llm.kv_routing.cost import Candidate, Cost, Prompt
    from dynamo.llm.kv_routing.migration import resumed
    from dynamo.llm.kv_routing.processor_parts import processor, routed, steps
    from dynamo.llm.kv_routing.routed_client import RoutedClient
    from dynamo.llm.kv_routing.router import Decision, KvRouter, RouterSettings
    from dynamo.llm.kv_routing.routing_service import RoutingService, routing
    from dynamo.llm.kv_routing.settings import router_settings

_HOME = {
    "ApproxKvIndexer": "kv.approximate",
    "Candidate": "kv_routing.cost",
    "Cost": "kv_routing.cost",
    "Decision": "kv_routing.router",
    "DisaggSettings": "disagg.policy",
    "DisaggregatedRouter": "disagg.policy",
    "EngineRequest": "generation",
    "EngineStep": "generation",
    "ForwardPassMetrics": "kv.load",
    "KvEventPublisher": "kv.publisher",
    "KvHandoff": "disagg.policy",
    "KvIndexer": "kv.index",
    "KvMetricsAggregator": "kv.load",
    "KvRouter": "kv_routing.router",
    "Prompt": "kv_routing.cost",
    "RoutedClient": "kv_routing.routed_client",
    "RouterSettings": "kv_routing.router",
    "RoutingService": "kv_routing.routing_service",
    "WorkerMetricsPublisher": "kv.publisher",
    "block_hashes": "kv.hashing",
    "decode_batch": "kv.engine_events",
    "processor": "kv_routing.processor_parts",
    "resumed": "kv_routing.migration",
    "routed": "kv_routing.processor_parts",
    "router_settings": "kv_routing.settings",
    "routing": "kv_routing.routing_service",
    "set_thresholds": "disagg.policy",
    "steps": "kv_routing.processor_parts",
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
