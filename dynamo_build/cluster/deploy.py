"""Apply manifests server-side, in order; prune what the deployment no longer has; wait when asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynamo.sdk import codec
from dynamo_build import __version__
from dynamo_build.cluster import applyset, wait
from dynamo_build.cluster.answer import failure
from dynamo_build.cluster.change import differences, stamped
from dynamo_build.cluster.connection import APPLY_PATCH, Connection
from dynamo_build.cluster.resource import Resource, Resources
from dynamo_build.cluster.token import ensure_token
from dynamo_build.errors import DeployError
from dynamo_build.events import Finished, Listener, Noted, Started, Warned
from dynamo_build.manifests.files import token_secrets
from dynamo_build.manifests.layout import MANAGER
from dynamo_build.model.deployment import Manifests
from dynamo_build.seams import Surroundings

#: Old configurations that stay for pods of earlier revisions, as `revisionHistoryLimit` does for their ReplicaSets.
_KEPT_CONFIGURATIONS = 5
_KEPT_KINDS = ("PersistentVolumeClaim", "Namespace")


def connect(surroundings: Surroundings) -> Connection:
    """The cluster of the options `context` and `kubeconfig`, or of KUBECONFIG."""
    options = surroundings.options
    kubeconfig = options.get("kubeconfig") or surroundings.environment.get("KUBECONFIG", "")
    return Connection(kubeconfig=kubeconfig, context=options.get("context", ""))


def apply(manifests: Manifests, surroundings: Surroundings, on: Listener, connection: Connection | None = None) -> str:
    """Apply a deployment, and give its name.

    Options: `context`, `kubeconfig`, `force` (take fields from other managers), `dry-run` (ask the server, change
    nothing), `prune` (`no` keeps what is gone from the manifests, `claims` removes claims too), `wait` (seconds).
    Raises DeployError or ToolMissing.
    """
    work = _Apply(manifests, surroundings.options, on, connection or connect(surroundings))
    work.run()
    seconds = surroundings.options.get("wait")
    if seconds and not work.dry_run:
        wait.until_ready(work.connection, manifests, float(seconds), on)
    return work.name


class _Apply:
    def __init__(self, manifests: Manifests, options: Mapping[str, str], on: Listener, connection: Connection) -> None:
        self.documents = [dict(item.document) for item in manifests.items]
        self.namespace = manifests.namespace
        self.name = _instance(self.documents) or manifests.deployment
        self.options = options
        self.on = on
        self.connection = connection
        self.resources = Resources(connection)
        self.dry_run = options.get("dry-run") == "yes"
        self.identifier = applyset.identity(self.name, self.namespace)

    def run(self) -> None:
        self.on(Started(what=f"applying {self.name}"))
        counts = {"created": 0, "changed": 0, "unchanged": 0}
        parent = self.connection.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}") or {}
        self._refuse_strangers(parent)
        before = (parent.get("metadata") or {}).get("annotations", {}).get(applyset.CONTAINS, "")
        kinds = {applyset.group_kind(document) for document in self.documents}
        known = kinds | {kind for kind in before.split(",") if kind}
        namespaces = [document for document in self.documents if document["kind"] == "Namespace"]
        for document in namespaces:
            counts[self._apply(document, {})] += 1
        self._record(parent, known)
        self._token()
        live = self._live()
        for document in self.documents:
            if document["kind"] != "Namespace":
                counts[self._apply(document, live)] += 1
        pruned = [] if self.options.get("prune") == "no" else self._prune(known, live)
        if known != kinds and not self.dry_run and self.options.get("prune") != "no":
            self._record({}, kinds)
        done = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        done += f", {len(pruned)} removed" if pruned else ""
        self.on(Finished(what=f"applied {self.name}", detail=done + (" (dry run)" if self.dry_run else "")))

    def _refuse_strangers(self, parent: Mapping[str, Any]) -> None:
        labels = (parent.get("metadata") or {}).get("labels") or {}
        if parent and labels.get(applyset.ID) != self.identifier:
            message = f"the ConfigMap {self.name} in {self.namespace} is not a deployment of ours"
            raise DeployError(message, ["Choose another --name."])

    def _record(self, parent: Mapping[str, Any], kinds: set[str]) -> None:
        bento = next(
            (
                item["metadata"].get("annotations", {}).get("dynamo/bento", "")
                for item in self.documents
                if item["kind"] == "Deployment"
            ),
            "",
        )
        document = applyset.parent(self.name, self.namespace, kinds, __version__, {"bento": bento})
        if not differences(document, parent):
            return
        self._patch(document)

    def _token(self) -> None:
        for name in sorted(token_secrets(self.documents)):
            if not self.dry_run and ensure_token(self.connection, self.namespace, name, self.name):
                self.on(Noted(text=f"created Secret {name} for the transport token"))

    def _live(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """What the set already holds: one list per kind in place of one read per object."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for resource in self._kinds():
            for item in self.connection.items(
                resource.collection(self.namespace), f"{applyset.PART_OF}={self.identifier}"
            ):
                found[resource.kind, str(item["metadata"]["name"])] = item
        return found

    def _kinds(self) -> Iterator[Resource]:
        seen: set[Resource] = set()
        for document in self.documents:
            resource = self.resources.of(document)
            if resource.namespaced and resource not in seen:
                seen.add(resource)
                yield resource

    def _apply(self, document: Mapping[str, Any], live: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
        wanted = stamped(applyset.member(document, self.identifier))
        present = live.get((str(document["kind"]), str(document["metadata"]["name"])))
        if present is not None and not differences(wanted, present):
            return "unchanged"
        created = self._patch(wanted)
        return "created" if created else "changed"

    def _patch(self, document: Mapping[str, Any]) -> bool:
        resource = self.resources.of(document)
        query = {"fieldManager": MANAGER}
        query |= {"force": "true"} if self.options.get("force") == "yes" else {}
        query |= {"dryRun": "All"} if self.dry_run else {}
        name = str(document["metadata"]["name"])
        path = resource.path(name, self.namespace)
        answer = self.connection.request("PATCH", path, query=query, body=codec.plain(document), kind=APPLY_PATCH)
        what = f"{document['kind']}/{name}"
        if not answer.ok:
            raise failure(answer, what)
        for warning in answer.warnings:
            self.on(Warned(text=f"{what}: {warning}"))
        return answer.status == 201

    def _prune(self, known: set[str], live: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
        wanted = {(str(item["kind"]), str(item["metadata"]["name"])) for item in self.documents}
        gone: list[tuple[Resource, str]] = []
        for kind in sorted(known):
            resource = self._resource_of(kind)
            if resource is None or (resource.kind in _KEPT_KINDS and self.options.get("prune") != "claims"):
                continue
            selector = f"{applyset.PART_OF}={self.identifier}"
            items = [
                item
                for item in self.connection.items(resource.collection(self.namespace), selector)
                if (resource.kind, item["metadata"]["name"]) not in wanted
            ]
            if resource.kind == "ConfigMap":
                items = _oldest(items)
            gone += [(resource, str(item["metadata"]["name"])) for item in items]
        for resource, name in gone:
            query = {"propagationPolicy": "Background"} | ({"dryRun": "All"} if self.dry_run else {})
            answer = self.connection.request("DELETE", resource.path(name, self.namespace), query=query)
            if not answer.ok and answer.status != 404:
                raise failure(answer, f"{resource.kind}/{name}")
            self.on(Noted(text=f"removed {resource.kind}/{name}"))
        return [f"{resource.kind}/{name}" for resource, name in gone]

    def _resource_of(self, group_kind: str) -> Resource | None:
        kind, _, group = group_kind.partition(".")
        for document in self.documents:
            if applyset.group_kind(document) == group_kind:
                return self.resources.of(document)
        listing = self.connection.get(f"/apis/{group}") if group else {"preferredVersion": {"groupVersion": "v1"}}
        version = ((listing or {}).get("preferredVersion") or {}).get("groupVersion")
        if not version:
            return None
        return self.resources.find(str(version), kind)


def _oldest(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    newest_first = sorted(items, key=lambda item: str(item["metadata"].get("creationTimestamp", "")), reverse=True)
    return newest_first[_KEPT_CONFIGURATIONS:]


def _instance(documents: Sequence[Mapping[str, Any]]) -> str:
    for document in documents:
        if name := document["metadata"].get("labels", {}).get("app.kubernetes.io/instance"):
            return str(name)
    return ""
