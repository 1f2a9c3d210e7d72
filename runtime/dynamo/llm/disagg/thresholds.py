"""The rule of remote prefill, changed while the graph runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from dynamo.coordination.topics import Events
from dynamo.llm.disagg.policy import DisaggregatedRouter

logger = logging.getLogger("dynamo.llm")


class Thresholds:
    """The rule's thresholds, as an operator changes them while the graph runs: `set_thresholds` from anywhere."""

    def __init__(self, events: Events, namespace: str, model: str, router: DisaggregatedRouter) -> None:
        self._topic = events.topic(namespace, f"prefill.{model}.thresholds", keep=1)
        self._router = router
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        async for event in self._topic.follow():
            try:
                self._router.update(event.value)
            except (ValueError, AttributeError) as error:
                logger.warning("thresholds are left as they are: %s", error)

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def set_thresholds(events: Events, namespace: str, model: str, values: Mapping[str, Any]) -> None:
    """Change thresholds of all decode workers of a model, those that come later too.

    Raises ValueError for thresholds that are none, Unavailable.
    """
    settings = DisaggregatedRouter()
    settings.update(values)
    await events.topic(namespace, f"prefill.{model}.thresholds", keep=1).publish(dict(values))
