"""Wait until every workload of a deployment runs what was applied, and tell of each why it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dynamo_build.deploy.cluster.api_client import Connection, Unreachable
from dynamo_build.deploy.cluster.readiness import KINDS, Reasons, count_replicas, has_failed, is_workload_ready
from dynamo_build.deploy.cluster.resource import Resources
from dynamo_build.errors import DeployError
from dynamo_build.events import Finished, Listener, Noted, Started, Table
from dynamo_build.model.deployment import Manifests

_INTERVAL = 1.0
Workload = tuple[str, str]


def wait_until_ready(
    connection: Connection,
    manifests: Manifests,
    seconds: float,
    on: Listener,
    *,
    interval: float = _INTERVAL,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when all workloads are ready. Raises DeployError with the reason of each that is not.

    One list per kind is asked for each time, so that a large graph costs no more than a small one. A server that does
    not answer for a while is waited for, too.
    """
    documents = [item.document for item in manifests.items if item.document["kind"] in KINDS]
    resources = Resources(connection)
    kinds = list(dict.fromkeys(resources.resolve_document(document) for document in documents))
    waiting = [(str(document["kind"]), str(document["metadata"]["name"])) for document in documents]
    standing = {f"{kind}/{name}": ("", "waiting") for kind, name in waiting}
    selector = f"app.kubernetes.io/instance={manifests.deployment}"
    on(Started(what=f"waiting for {len(waiting)} workloads"))
    deadline = time.monotonic() + seconds
    said: dict[Workload, str] = {}
    while waiting:
        failed = False
        try:
            live: dict[Workload, Mapping[str, Any]] = {}
            for kind in kinds:
                listed = connection.list_items(
                    kind.build_collection_path(manifests.namespace), selector, _build_field_selector(waiting, kind.kind)
                )
                live |= {(kind.kind, str(item["metadata"]["name"])): {"kind": kind.kind, **item} for item in listed}
            seen = {f"{kind_}/{name}": _format_counts(item) for (kind_, name), item in live.items()}
            standing |= {name: state for name, state in seen.items() if name in standing}
            reasons, failed = _collect_reasons(
                waiting, live, Reasons(connection, manifests.namespace, manifests.deployment)
            )
        except Unreachable as error:
            reasons = {workload: said.get(workload, error.message) for workload in waiting}
        for workload, reason in reasons.items():
            if said.get(workload) != reason:
                on(Noted(text=f"{workload[0]}/{workload[1]}: {reason}"))
        for kind_, name in waiting:
            if (kind_, name) not in reasons:
                on(Finished(what=f"{kind_}/{name}", detail="ready"))
        waiting, said = list(reasons), reasons
        standing |= {f"{kind_}/{name}": (standing[f"{kind_}/{name}"][0], text) for (kind_, name), text in said.items()}
        on(Table(rows=tuple((name, *state) for name, state in standing.items())))
        if waiting and (failed or time.monotonic() >= deadline):
            how = "failed" if failed else f"was not ready after {seconds:g} s"
            text = "; ".join(f"{kind_}/{name}: {reason}" for (kind_, name), reason in reasons.items())
            back = f"dynamo deployment rollback {manifests.deployment} -n {manifests.namespace}"
            hint = f"Earlier pods keep serving; `{back}` goes back to them."
            raise DeployError(f"the deployment {manifests.deployment} {how}: {text}", [hint])
        if waiting:
            sleep(interval)


def _format_counts(item: Mapping[str, Any]) -> tuple[str, str]:
    running, wanted = count_replicas(item)
    return f"{running}/{wanted}", "ready"


def _build_field_selector(waiting: list[Workload], kind: str) -> str:
    """A field selector for the one that is left, so that the end of a wait costs little."""
    names = [name for kind_, name in waiting if kind_ == kind]
    return f"metadata.name={names[0]}" if len(names) == 1 else ""


def _collect_reasons(
    waiting: list[Workload], live: Mapping[Workload, Mapping[str, Any]], reasons: Reasons
) -> tuple[dict[Workload, str], bool]:
    found: dict[Workload, str] = {}
    failed = False
    for workload in waiting:
        item = live.get(workload)
        if item is None:
            found[workload] = "it is gone"
        elif not is_workload_ready(item):
            found[workload] = reasons.find_reason(item)
            failed = failed or has_failed(item)
    return found, failed
