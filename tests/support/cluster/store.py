"""The objects of the double: create, apply, delete, watch; versions, generations, owners; a scripted controller."""

from __future__ import annotations

import copy
import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from support.cluster import fields

Key = tuple[str, str, str]
_WORKLOADS = ("deployments", "statefulsets")


class Refused(Exception):
    """An answer other than success: status, reason, message, causes."""

    def __init__(self, status: int, reason: str, message: str, causes: list[tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.causes = status, reason, message, causes or []


@dataclass
class Script:
    """How the controller treats a workload: ready after some seconds, or stuck for a reason."""

    ready_after: float = 0.0
    waiting: str = ""
    message: str = ""
    scheduling: str = ""
    refused: str = ""
    event: str = ""
    deadline_exceeded: bool = False
    exit_code: int = 0


@dataclass
class Store:
    """All objects by (plural, namespace, name)."""

    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    owners: dict[Key, dict[str, set[fields.Path]]] = field(default_factory=dict)
    events: list[tuple[int, str, Key, dict[str, Any]]] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    changed: dict[Key, float] = field(default_factory=dict)
    settled: set[tuple[str, int]] = field(default_factory=set)
    oldest_watchable: int = 0
    external: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(100))
    last: int = 99

    def get(self, key: Key) -> dict[str, Any]:
        if key not in self.objects:
            raise Refused(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return self.objects[key]

    def list(self, plural: str, namespace: str = "") -> list[dict[str, Any]]:
        return [item for key, item in sorted(self.objects.items()) if key[0] == plural and namespace in ("", key[1])]

    def create(self, key: Key, document: dict[str, Any], manager: str, dry_run: bool) -> dict[str, Any]:
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        return self._save(key, document, {manager: set(fields.owned(document))}, dry_run)

    def apply(
        self, key: Key, document: dict[str, Any], manager: str, force: bool, dry_run: bool
    ) -> tuple[dict[str, Any], bool]:
        """Server-side apply: conflicts, removal of fields that the manager no longer has, merge."""
        wanted = fields.owned(document)
        if key not in self.objects:
            return self._save(key, document, {manager: set(wanted)}, dry_run), True
        live = copy.deepcopy(self.objects[key])
        owners = {name: set(paths) for name, paths in self.owners[key].items()}
        conflicts: dict[str, list[str]] = {}
        for path, value in wanted.items():
            for other in owners:
                if other != manager and path in owners[other] and not _same(live, path, value):
                    if force:
                        owners[other].discard(path)
                    else:
                        conflicts.setdefault(other, []).append(fields.shown(path))
        if conflicts:
            listed = [(path, f'conflict with "{other}"') for other, paths in conflicts.items() for path in paths]
            text = "; ".join(f'conflict with "{other}": {", ".join(paths)}' for other, paths in conflicts.items())
            raise Refused(409, "Conflict", f"Apply failed with {len(listed)} conflict(s): {text}", listed)
        for path in sorted(owners.get(manager, set()) - set(wanted), key=fields.is_key):
            if not any(path in paths for other, paths in owners.items() if other != manager):
                fields.remove(live, path)
        owners[manager] = set(wanted)
        return self._save(key, fields.merge(live, document), owners, dry_run), False

    def update(self, key: Key, document: dict[str, Any], manager: str, dry_run: bool) -> dict[str, Any]:
        """Take over what the document changes, as an Update by another manager does."""
        live = self.get(key)
        changed = {path for path, value in fields.owned(document).items() if not _same(live, path, value)}
        owners = {name: paths - changed for name, paths in self.owners[key].items()}
        owners[manager] = owners.get(manager, set()) | changed
        return self._save(key, fields.merge(live, document), owners, dry_run)

    def delete(self, key: Key, dry_run: bool = False) -> dict[str, Any]:
        found = self.get(key)
        if dry_run:
            return found
        if found["metadata"].get("finalizers"):
            found["metadata"].setdefault("deletionTimestamp", _now())
            return found
        del self.objects[key], self.owners[key]
        self._event("DELETED", key, found)
        uid = found["metadata"]["uid"]
        for other in [key for key, item in self.objects.items() if _owned_by(item, uid)]:
            self.delete(other)
        return found

    def _save(self, key: Key, document: dict[str, Any], owners: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        live = self.objects.get(key)
        saved = copy.deepcopy(document)
        metadata = saved["metadata"]
        before = live["metadata"] if live else {}
        metadata["uid"] = before.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = before.get("creationTimestamp") or _now()
        if key[1]:
            metadata["namespace"] = key[1]
        _defaults(saved)
        spec_changed = live is None or live.get("spec") != saved.get("spec")
        metadata["generation"] = before.get("generation", 0) + (1 if spec_changed else 0)
        metadata["resourceVersion"] = before.get("resourceVersion", "")
        metadata["managedFields"] = [
            {"manager": name, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields.fields_v1(paths)}
            for name, paths in sorted(owners.items())
        ]
        if dry_run:
            return saved
        if live == saved:
            return live
        self.objects[key], self.owners[key] = saved, owners
        self.last = next(self.versions)
        metadata["resourceVersion"] = str(self.last)
        if spec_changed:
            self.changed[key] = time.monotonic()
        self._event("MODIFIED" if live else "ADDED", key, saved)
        return saved

    def _event(self, kind: str, key: Key, document: dict[str, Any]) -> None:
        if kind == "DELETED":
            self.last = next(self.versions)
        self.events.append((self.last, kind, key, copy.deepcopy(document)))

    def reconcile(self) -> None:
        """What controllers and kubelets would have done by now, by each workload's script."""
        if self.external:
            return
        for key in [key for key in self.objects if key[0] in _WORKLOADS]:
            live = self.objects[key]
            script = self.scripts.get(key[2], Script())
            stuck = script.waiting or script.scheduling or script.refused or script.event or script.deadline_exceeded
            settled = (live["metadata"]["uid"], live["metadata"]["generation"])
            done = settled in self.settled  # what runs stays: a script is about what comes
            stuck = "" if done else stuck
            done = done or (not stuck and time.monotonic() - self.changed[key] >= script.ready_after)
            if done:
                self.settled.add(settled)
                script = Script()
            wanted = live["spec"].get("replicas", 1)
            old = 0 if live["metadata"]["generation"] == 1 else wanted
            status: dict[str, Any] = {
                "observedGeneration": live["metadata"]["generation"],
                "replicas": wanted if done else wanted + old,
                "updatedReplicas": wanted,
                "readyReplicas": wanted if done else old,
                "availableReplicas": wanted if done else old,
                "conditions": [],
            }
            if script.refused:
                status["conditions"].append(
                    {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": script.refused}
                )
            if script.deadline_exceeded:
                status["conditions"].append(
                    {
                        "type": "Progressing",
                        "status": "False",
                        "reason": "ProgressDeadlineExceeded",
                        "message": "timed out",
                    }
                )
            live["status"] = status
            if not script.refused:
                self._pod(key, live, script, done)

    def _pod(self, key: Key, live: dict[str, Any], script: Script, done: bool) -> None:
        """One pod per generation; earlier ones that run stay until the newest does."""
        name = f"{key[2]}-{live['metadata']['generation']}"
        for other, item in list(self.objects.items()):
            owned = other[:2] == ("pods", key[1]) and _owned_by(item, live["metadata"]["uid"])
            if owned and other[2] != name and (done or item["status"]["phase"] != "Running"):
                del self.objects[other]
        state: dict[str, Any] = (
            {"running": {}} if done else {"waiting": {"reason": script.waiting, "message": script.message}}
        )
        status: dict[str, Any] = {"name": "main", "ready": done, "state": state}
        if script.exit_code and not done:
            status["lastState"] = {"terminated": {"exitCode": script.exit_code, "reason": "Error"}}
        conditions = [{"type": "Ready", "status": "True" if done else "False"}]
        if script.scheduling:
            conditions.append(
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": script.scheduling}
            )
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": key[1],
                "uid": f"{live['metadata']['uid']}-{live['metadata']['generation']}",
                "creationTimestamp": _now(),
                "labels": live["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [{"uid": live["metadata"]["uid"], "kind": live["kind"], "name": key[2]}],
            },
            "spec": copy.deepcopy(live["spec"]["template"]["spec"]),
            "status": {
                "phase": "Running" if done else "Pending",
                "conditions": conditions,
                "containerStatuses": [status],
            },
        }
        pod_key = ("pods", key[1], name)
        self.objects[pod_key] = pod
        self.owners.setdefault(pod_key, {})
        if script.event:
            event_key = ("events", key[1], f"{name}.1")
            self.objects[event_key] = {
                "metadata": {"name": event_key[2], "namespace": key[1], "uid": event_key[2]},
                "involvedObject": {"name": name},
                "type": "Warning",
                "reason": "FailedScheduling",
                "message": script.event,
            }
            self.owners.setdefault(event_key, {})


def _same(live: dict[str, Any], path: fields.Path, value: Any) -> bool:
    try:
        return bool(fields.lookup(live, path) == value)
    except (KeyError, StopIteration, TypeError):
        return True


def _owned_by(item: dict[str, Any], uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in item["metadata"].get("ownerReferences") or ())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _defaults(document: dict[str, Any]) -> None:
    """A few of the defaults that a real server adds, so that nothing rests on their absence."""
    spec = document.get("spec")
    if document["kind"] == "Service" and isinstance(spec, dict):
        spec.setdefault("clusterIP", "10.0.0.1")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
    if document["kind"] in ("Deployment", "StatefulSet") and isinstance(spec, dict):
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        pod = (spec.get("template") or {}).get("spec") or {}
        pod.setdefault("restartPolicy", "Always")
        pod.setdefault("dnsPolicy", "ClusterFirst")
        for container in pod.get("containers") or ():
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("imagePullPolicy", "IfNotPresent")
    if document["kind"] == "Secret" and "stringData" in document:
        import base64

        written = document.pop("stringData")
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in written.items()}
        document["data"] = {**document.get("data", {}), **encoded}
