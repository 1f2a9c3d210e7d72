"""More or fewer workers of a service while the graph runs, as a planner asks for them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from dynamo.process import gpus
from dynamo.process.worker_process import Slot
from dynamo.sdk.graph import ServiceGraph

MOST_WORKERS = 256
DRAIN_SECONDS = 25.0


def scaled(
    slots: list[Slot],
    leaving: list[Slot],
    graph: ServiceGraph,
    service: str,
    workers: object,
    place: Callable[[str, int, Mapping[str, str]], Slot],
) -> str:
    """Have that many workers of a service: `slots` gets new ones from `place`, and gives the last ones to `leaving`,
    which are told to end when their requests are. What is to be said about it; an `error: …` when nothing is changed.
    """
    if type(workers) is not int or not 1 <= workers <= MOST_WORKERS:
        return f"error: {workers!r} is no number of workers; it is 1 to {MOST_WORKERS}"
    own = [slot for slot in slots if slot.service == service]
    if not own:
        return f"error: no service `{service}` runs here"
    if workers > len(own) and own[0].http is not None:
        return f"error: `{service}` has HTTP routes; its workers are set when it starts"
    taken = {slot.number for slot in own}
    free = (number for number in range(1, MOST_WORKERS + len(own) + 1) if number not in taken)
    fresh: list[Slot] = []
    for number in (next(free) for _ in range(workers - len(own))):
        environment = _devices(graph, service, [*slots, *leaving, *fresh])
        if environment is None:
            return f"error: no GPU is left for another `{service}`"
        fresh.append(place(service, number, environment))
    last = max(slots.index(slot) for slot in own)
    slots[last + 1 : last + 1] = fresh
    for slot in own[workers:]:
        slots.remove(slot)
        slot.ending = True
        slot.retry_at = time.monotonic() + DRAIN_SECONDS
        leaving.append(slot)
        slot.tell(signal.SIGTERM)
    return f"`{service}` has {workers} worker{'s' if workers > 1 else ''}, {len(own)} before"


def _devices(graph: ServiceGraph, service: str, slots: Sequence[Slot]) -> Mapping[str, str] | None:
    """The variables of one more worker; None when what it needs is not free."""
    amounts = {spec.name: Fraction(spec.resources.gpu or "0") for spec in graph.services}
    like = next((slot.environment for slot in slots if slot.service == service), {})
    if gpus.VISIBLE not in like:
        return {}
    left = dict.fromkeys(gpus.usable(gpus.inventory(), os.environ), Fraction(1))
    for slot in slots:
        for name in filter(None, slot.environment.get(gpus.VISIBLE, "").split(",")):
            left[name] = left.get(name, Fraction(0)) - min(amounts[slot.service], Fraction(1))
    amount = amounts[service]
    count = max(int(amount), 1)
    fitting = sorted((name for name, free in left.items() if free >= min(amount, Fraction(1))), key=left.__getitem__)
    if len(fitting) < count:
        return None
    return {**like, gpus.VISIBLE: ",".join(fitting[:count])}
