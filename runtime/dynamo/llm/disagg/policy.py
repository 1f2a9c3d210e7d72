"""The rule of remote prefill: where a prompt is prefilled, what is handed on, and its thresholds at run time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from dynamo.coordination.topics import Events
from dynamo.sdk.config import check_value
from dynamo.sdk.errors import BadConfiguration

Place = Literal["local", "remote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisaggSettings:
    """When to prefill remotely; without `conditional` always. `most_local_share` is a second bound: at most that
    share of a prompt may be missing for a local prefill of any length, 0 turns it off.
    """

    conditional: bool = True
    max_local_prefill_length: int = 1000
    max_prefill_queue_size: int = 2
    most_local_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a prompt is prefilled, and why."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KvHandoff:
    """What a prefill worker gives to a decode worker through the router, to which it means nothing: the parameters
    of the engine's connector, whichever side moves the blocks.
    """

    request: str
    prefill_worker: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)


def decide_place(
    settings: DisaggSettings,
    prompt_tokens: int,
    prefix_hit_rate: float,
    queue_depth: int,
    *,
    decode_busy: bool = False,
    prefill_workers: int = 1,
) -> Choice:
    """Remote when the part of the prompt that is missing is long and the prefill queue is short. A pure function.

    `decode_busy`: the decode worker could not take the blocks anyway. Raises ValueError for a share outside 0 to 1.
    """
    if not 0 <= prefix_hit_rate <= 1:
        raise ValueError(f"a hit rate of {prefix_hit_rate} is not a share")
    if prefill_workers < 1:
        return Choice(place="local", reason="no prefill worker is there")
    if not settings.conditional:
        return Choice(place="remote", reason="always")
    missing = int(prompt_tokens * (1 - prefix_hit_rate))
    if decode_busy:
        return Choice(place="local", reason="the decode worker is busy")
    share = missing / prompt_tokens if prompt_tokens else 0.0
    if settings.most_local_share and share > settings.most_local_share:
        long = f"{share:.0%} of the prompt missing"
    elif missing > settings.max_local_prefill_length:
        long = f"{missing} tokens missing"
    else:
        return Choice(place="local", reason=f"only {missing} tokens missing")
    if queue_depth >= settings.max_prefill_queue_size:
        return Choice(place="local", reason=f"{queue_depth} prompts wait in the prefill queue")
    return Choice(place="remote", reason=f"{long}, {queue_depth} prompts wait")


class DisaggregatedRouter:
    """The rule with thresholds that can be changed while it runs."""

    def __init__(self, settings: DisaggSettings | None = None) -> None:
        self.settings = settings or DisaggSettings()

    def update(self, values: Mapping[str, Any]) -> None:
        """Take new thresholds; all or none. Raises BadConfiguration for unknown names and values that are none."""
        standard = asdict(DisaggSettings())
        clean: dict[str, Any] = {}
        for name, value in values.items():
            key = name.replace("-", "_")
            if key not in standard:
                raise BadConfiguration(f"`{name}` is not a threshold; there are {', '.join(standard)}")
            clean[key] = check_value(name, value, standard[key], least=0)
        self.settings = replace(self.settings, **clean)

    def prefill_remote(self, prompt_tokens: int, prefix_hit_rate: float, queue_depth: int, **state: Any) -> bool:
        """Whether to prefill remotely."""
        return decide_place(self.settings, prompt_tokens, prefix_hit_rate, queue_depth, **state).place == "remote"


logger = logging.getLogger("dynamo.llm")


class Thresholds:
    """The rule's thresholds, as an operator changes them while the graph runs: `set_thresholds` from anywhere."""

    def __init__(self, events: Events, namespace: str, model: str, router: DisaggregatedRouter) -> None:
        self._topic = events.topic(namespace, f"prefill.{model}.thresholds", keep=1)
        self._router = router
        self._task = asyncio.ensure_future(self._follow_topic())

    async def _follow_topic(self) -> None:
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
