"""The number of decode and prefill workers for a graph: a pure decision from measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynamo.sdk.errors import BadConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerSettings:
    """When to add a worker and when to take one away. The thresholds are those of the reference's planner: shares of
    the decode workers' KV blocks in use, and prompts that wait for each prefill worker. `first_token_seconds` and
    `token_seconds`, between the tokens of an answer, are targets for nine requests of ten; 0: none. `gpus` bounds both
    kinds together; 0: nothing does.
    """

    interval_seconds: float = 180.0
    observe_seconds: float = 10.0
    least_workers: int = 1
    gpus: int = 8
    gpus_a_decode_worker: int = 1
    gpus_a_prefill_worker: int = 1
    kv_up: float = 0.9
    kv_down: float = 0.5
    queue_up: float = 5.0
    queue_down: float = 0.2
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.kv_down < self.kv_up <= 1 and 0 <= self.queue_down < self.queue_up):
            raise BadConfiguration("a threshold to take workers away is not below the one to add some")
        if min(self.interval_seconds, self.observe_seconds) <= 0 or self.least_workers < 1:
            raise BadConfiguration("intervals and the least number of workers must be above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The graph at one moment. `prefill_queue` counts prompts. Since the last moment: `first_tokens` are the
    seconds until a first token, `token_gaps` those between the tokens of an answer.
    """

    decode_workers: int
    prefill_workers: int
    kv_usage: float
    waiting: int
    prefill_queue: int = 0
    first_tokens: Sequence[float] = ()
    token_gaps: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many workers of each kind there should be, and why, one line for each change or for each that was refused."""

    decode_workers: int
    prefill_workers: int
    reasons: tuple[str, ...]


def plan_workers(settings: PlannerSettings, seen: Sequence[Observation]) -> Plan:
    """At most one worker of each kind more or less than at the last moment.

    A graph without prefill workers gets none. Raises ValueError when nothing was seen.
    """
    if not seen:
        raise ValueError("nothing was observed")
    last = seen[-1]
    if not last.decode_workers:
        return Plan(decode_workers=0, prefill_workers=last.prefill_workers, reasons=("no decode worker is there yet",))
    reasons: list[str] = []
    prefill = last.prefill_workers + _prefill_change(settings, seen, reasons)
    decode = last.decode_workers + _decode_change(settings, seen, reasons)
    least = settings.least_workers
    prefill = max(prefill, least) if last.prefill_workers else 0
    decode = max(decode, least)
    if settings.gpus:
        # Decode first: without blocks for their answers, prompts that are prefilled faster only wait elsewhere.
        room = settings.gpus - prefill * settings.gpus_a_prefill_worker
        if decode > last.decode_workers and decode * settings.gpus_a_decode_worker > room:
            if prefill > last.prefill_workers:
                prefill = last.prefill_workers
                reasons.append(f"no prefill worker more: {settings.gpus} GPUs are the bound")
                room = settings.gpus - prefill * settings.gpus_a_prefill_worker
            if decode * settings.gpus_a_decode_worker > room:
                decode = last.decode_workers
                reasons.append(f"no decode worker more: {settings.gpus} GPUs are the bound")
        room = settings.gpus - decode * settings.gpus_a_decode_worker
        if prefill > last.prefill_workers and prefill * settings.gpus_a_prefill_worker > room:
            prefill = last.prefill_workers
            reasons.append(f"no prefill worker more: {settings.gpus} GPUs are the bound")
    return Plan(decode_workers=decode, prefill_workers=prefill, reasons=tuple(reasons))


def _prefill_change(settings: PlannerSettings, seen: Sequence[Observation], reasons: list[str]) -> int:
    workers = seen[-1].prefill_workers
    if not workers:
        return 0
    queue = _compute_mean([one.prefill_queue / max(one.prefill_workers, 1) for one in seen])
    if queue > settings.queue_up:
        reasons.append(f"one prefill worker more: {queue:.1f} prompts wait for each")
        return 1
    late = _explain_first_token(settings, seen)
    if late and queue > settings.queue_down:
        reasons.append(f"one prefill worker more: {late}")
        return 1
    if queue < settings.queue_down and workers > settings.least_workers and not late:
        reasons.append(f"one prefill worker less: {queue:.1f} prompts wait for each")
        return -1
    return 0


def _decode_change(settings: PlannerSettings, seen: Sequence[Observation], reasons: list[str]) -> int:
    last = seen[-1]
    usage, waiting = _compute_mean([one.kv_usage for one in seen]), min(one.waiting for one in seen)
    if usage > settings.kv_up:
        reasons.append(f"one decode worker more: {usage:.0%} of the KV blocks are in use")
        return 1
    if waiting > last.decode_workers:
        reasons.append(f"one decode worker more: {waiting} requests or more waited all the time")
        return 1
    # Only decode workers make tokens after the first; the first is made by them where nobody else prefills.
    late = _explain_token_gap(settings, seen) or ("" if last.prefill_workers else _explain_first_token(settings, seen))
    if late:
        reasons.append(f"one decode worker more: {late}")
        return 1
    # With one less the others hold what it holds: they must not be over the upper threshold then.
    after = usage * last.decode_workers / max(last.decode_workers - 1, 1)
    if (
        usage < settings.kv_down
        and after < settings.kv_up
        and last.decode_workers > settings.least_workers
        and not _explain_first_token(settings, seen)
    ):
        reasons.append(f"one decode worker less: {usage:.0%} of the KV blocks are in use")
        return -1
    return 0


def _explain_first_token(settings: PlannerSettings, seen: Sequence[Observation]) -> str:
    """Why the first tokens come too late; "" when they do not."""
    found, target = _compute_p90([value for one in seen for value in one.first_tokens]), settings.first_token_seconds
    if not target or found <= target:
        return ""
    return f"one request of ten waits over {found:.2f} s for its first token, {target:g} s is the target"


def _explain_token_gap(settings: PlannerSettings, seen: Sequence[Observation]) -> str:
    """Why the tokens come too slowly; "" when they do not."""
    found, target = _compute_p90([value for one in seen for value in one.token_gaps]), settings.token_seconds
    if not target or found <= target:
        return ""
    return f"one request of ten has over {found * 1e3:.0f} ms between its tokens, {target * 1e3:g} ms is the target"


def _compute_p90(times: Sequence[float]) -> float:
    """What nine of ten are within; 0 when there are none."""
    return sorted(times)[min(int(len(times) * 0.9), len(times) - 1)] if times else 0.0


def _compute_mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
