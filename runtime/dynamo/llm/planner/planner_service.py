"""The planner as a service runs it: it watches a graph, decides now and then, and has workers added or taken away."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dynamo.coordination.queues import Queue
from dynamo.coordination.topics import Events
from dynamo.llm.disagg.jobs import prefill_queue
from dynamo.llm.kv import load
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.llm.kv.load import KvMetricsAggregator
from dynamo.llm.kv_routing.timings import RequestTimings
from dynamo.llm.planner.plan import Observation, PlannerSettings, plan_workers
from dynamo.llm.planner.scalers import CannotScale, KubernetesScaler, NoScaler, Scaler, SupervisorScaler
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.config import read_setting
from dynamo.sdk.errors import BadConfiguration, RemoteError

logger = logging.getLogger("dynamo.planner")


class Planner:
    """Plans for the decode workers of one component and the prefill workers of another (none: "")."""

    def __init__(
        self,
        events: Events,
        namespace: str,
        decode: str,
        prefill: str,
        settings: PlannerSettings,
        scaler: Scaler,
        *,
        workers: Mapping[str, Callable[[], Sequence[Any]]],
        queue: Queue | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.decode, self.prefill = decode, prefill
        self.plans: list[str] = []
        self._scaler = NoScaler() if settings.dry_run else scaler
        self._workers = workers
        self._queue = queue
        self._aggregator = KvMetricsAggregator(clock)
        self._timings = RequestTimings(events, namespace, decode, clock)
        self._load = open_topic(events, "load", namespace, decode)
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._listener = Listener(self._load, self._on_load)
        await self._timings.start()
        self._task = asyncio.ensure_future(self._run_planner())

    async def close(self) -> None:
        """Stop; the graph stays as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._timings.close()
        if self._listener is not None:
            await self._listener.close()

    def _on_load(self, body: bytes) -> None:
        try:
            message = load.decode_message(body)
        except ValueError:
            return
        self._aggregator.heard(message.worker, message.metrics)

    async def _run_planner(self) -> None:
        seen: list[Observation] = []
        loop = asyncio.get_running_loop()
        due = loop.time() + self.settings.interval_seconds
        while True:
            await asyncio.sleep(self.settings.observe_seconds)
            seen.append(await self.observe_graph())
            if loop.time() >= due:
                await self.adjust_workers(seen)
                seen = []
                due = loop.time() + self.settings.interval_seconds

    async def observe_graph(self) -> Observation:
        """The graph as it is now."""
        self._aggregator.silent()
        metrics = [self._aggregator.get(worker) for worker in self._aggregator.workers]
        waiting, (first, gaps) = 0, self._timings.drain_times()
        if self._queue is not None:
            try:
                waiting = await self._queue.size()
            except RemoteError as error:
                logger.warning("the prefill queue was not counted: %s", error.message)
        return Observation(
            decode_workers=len(self._workers[self.decode]()),
            prefill_workers=len(self._workers[self.prefill]()) if self.prefill else 0,
            kv_usage=sum(one.gpu_cache_usage_perc for one in metrics) / len(metrics) if metrics else 0.0,
            waiting=sum(one.num_requests_waiting for one in metrics),
            prefill_queue=waiting,
            first_tokens=tuple(first),
            token_gaps=tuple(gaps),
        )

    async def adjust_workers(self, seen: Sequence[Observation]) -> None:
        """Decide by what was seen, and have it done; in a dry run only the log tells."""
        found = plan_workers(self.settings, seen)
        for reason in found.reasons:
            logger.info("%s%s", "dry run: " if self.settings.dry_run else "", reason)
        self.plans += found.reasons
        for service, before, after in (
            (self.decode, seen[-1].decode_workers, found.decode_workers),
            (self.prefill, seen[-1].prefill_workers, found.prefill_workers),
        ):
            if after != before:
                try:
                    await self._scaler.scale(service, after)
                except CannotScale as error:
                    logger.warning("%s stays at %s workers: %s", service, before, error)


async def planner(
    runtime: DistributedRuntime,
    namespace: str,
    decode: str,
    prefill: str,
    model: str,
    values: Mapping[str, Any],
) -> Planner:
    """The planner of a configuration, started. Raises BadConfiguration, RemoteError."""
    watches = {name: await runtime.get_callee(namespace, name).open_watch() for name in (decode, prefill) if name}
    made = Planner(
        runtime.events,
        namespace,
        decode,
        prefill,
        planner_settings(values),
        create_scaler(values),
        workers={name: watch.list_instances for name, watch in watches.items()},
        queue=prefill_queue(runtime.queues, namespace, model) if prefill else None,
    )
    await made.start()
    return made


def planner_settings(values: Mapping[str, Any]) -> PlannerSettings:
    """The settings in a service's configuration, dashes or underscores; others are left. Raises BadConfiguration."""
    standard = asdict(PlannerSettings())
    return PlannerSettings(
        **{name: read_setting(values, name.replace("_", "-"), value) for name, value in standard.items()}
    )


def create_scaler(values: Mapping[str, Any]) -> Scaler:
    """Who scales, by `environment`: `local`, `kubernetes`, or not said: by where this runs. Raises BadConfiguration."""
    inside = "kubernetes" if os.environ.get("KUBERNETES_SERVICE_HOST") else "local"
    where = values.get("environment", inside)
    if where == "local":
        return SupervisorScaler.of_this_worker()
    if where == "kubernetes":
        names = values.get("deployments", {})
        prefix = str(values.get("deployment-prefix", os.environ.get("DYNAMO_DEPLOYMENT_PREFIX", "")))
        return KubernetesScaler(prefix=prefix, names=names if isinstance(names, Mapping) else {})
    raise BadConfiguration(f"`environment` cannot be {where!r}; it is `local` or `kubernetes`")
