"""Apply manifests server-side, in order; prune what the deployment no longer has; wait when asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dynamo.sdk import codec
from dynamo_build import __version__
from dynamo_build.deploy.cluster import applyset, members, revision, wait
from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.api_client import APPLY_PATCH, Connection
from dynamo_build.deploy.cluster.applyset import ensure_token
from dynamo_build.deploy.cluster.change import add_digest, find_differences
from dynamo_build.deploy.cluster.readiness import KINDS
from dynamo_build.deploy.cluster.resource import Resource, Resources
from dynamo_build.deploy.kubernetes.objects.manifest_files import find_token_secrets
from dynamo_build.deploy.kubernetes.objects.object_layout import MANAGER
from dynamo_build.errors import DeployError
from dynamo_build.events import Finished, Listener, Noted, Started, Warned
from dynamo_build.model.deployment import Manifests
from dynamo_build.seams import ApplyOptions, Surroundings

#: Old configurations that stay for pods of earlier revisions, as `revisionHistoryLimit` does for their ReplicaSets.
_KEPT_CONFIGURATIONS = 5
#: Holds the replicas of a workload between us and its autoscaler.
_SCALER = "dynamo-autoscaler"
_KEPT_KINDS = ("PersistentVolumeClaim", "Namespace")


def connect_cluster(surroundings: Surroundings) -> Connection:
    """The cluster that is named to the target, or that of KUBECONFIG."""
    options = surroundings.applying
    kubeconfig = options.kubeconfig or surroundings.environment.get("KUBECONFIG", "")
    return Connection(kubeconfig=kubeconfig, context=options.context)


def apply_manifests(
    manifests: Manifests, surroundings: Surroundings, on: Listener, connection: Connection | None = None
) -> str:
    """Apply a deployment as `surroundings.applying` says, and return its name. Raises DeployError or ToolMissing."""
    work = _Apply(manifests, surroundings.applying, on, connection or connect_cluster(surroundings))
    work.run()
    seconds = surroundings.applying.wait
    if seconds and not work.dry_run:
        wait.wait_until_ready(work.connection, manifests, seconds, on)
    return work.name


class _Apply:
    def __init__(self, manifests: Manifests, options: ApplyOptions, on: Listener, connection: Connection) -> None:
        self.documents = [dict(item.document) for item in manifests.items]
        self.namespace = manifests.namespace
        self.target = manifests.target
        self.name = find_instance_name(self.documents) or manifests.deployment
        self.options = options
        self.on = on
        self.connection = connection
        self.resources = Resources(connection)
        self.dry_run = options.dry_run
        self.identifier = applyset.compute_set_id(self.name, self.namespace)
        self.recorded: Mapping[str, Any] = {}

    def run(self) -> None:
        self.on(Started(what=f"applying {self.name}"))
        for document in self.documents:  # nothing is written for a kind that is not served
            self.resources.resolve_document(document)
        counts = {"created": 0, "changed": 0, "unchanged": 0}
        self.recorded = parent = self._read_parent()
        self._refuse_strangers(parent)
        before = members.list_kinds(parent)
        kinds = {applyset.format_group_kind(document) for document in self.documents}
        known = kinds | before
        namespaces = [document for document in self.documents if document["kind"] == "Namespace"]
        for document in namespaces:
            counts[self._apply_document(document, {})] += 1
        data = dict(parent.get("data") or {}) or {"bento": self._find_bento()}
        self._record_parent(known, data)
        self._ensure_tokens()
        live = self._list_live()
        for document in self.documents:
            if document["kind"] != "Namespace":
                counts[self._apply_document(document, live)] += 1
        pruned = [] if self.options.prune == "nothing" else self._prune_leftovers(known)
        self._keep_revision(data, known if self.options.prune == "nothing" else kinds)
        done = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        done += f", {len(pruned)} removed" if pruned else ""
        self.on(Finished(what=f"applied {self.name}", detail=done + (" (dry run)" if self.dry_run else "")))

    def _read_parent(self) -> Mapping[str, Any]:
        return self.connection.get(f"{members.CONFIG_MAPS.format(self.namespace)}/{self.name}") or {}

    def _find_bento(self) -> str:
        annotations = (item["metadata"].get("annotations", {}) for item in self.documents)
        return next((str(found["dynamo/bento"]) for found in annotations if "dynamo/bento" in found), "")

    def _keep_revision(self, data: Mapping[str, str], kinds: set[str]) -> None:
        """What is there now becomes the current revision."""
        if self.dry_run:
            return
        digest = revision.digest_documents(self.documents)
        if data.get("manifests") != digest:
            kept = {"bento": self._find_bento(), "manifests": digest, "target": self.target}
            number = revision.record_revision(self.connection, self._read_parent(), self.documents, kept)
            if not number:
                self.on(Warned(text="the manifests are too large to be kept on the cluster: no rollback to them"))
            data = {**kept, "revision": str(number)}
        self._record_parent(kinds, data)

    def _refuse_strangers(self, parent: Mapping[str, Any]) -> None:
        labels = (parent.get("metadata") or {}).get("labels") or {}
        if parent and labels.get(applyset.ID) != self.identifier:
            message = f"the ConfigMap {self.name} in {self.namespace} is not a deployment of ours"
            raise DeployError(message, ["Choose another --name."])

    def _record_parent(self, kinds: set[str], data: Mapping[str, str]) -> None:
        document = applyset.build_parent(self.name, self.namespace, kinds, __version__, data)
        if find_differences(document, self.recorded):
            self._patch_document(document)
            self.recorded = document

    def _ensure_tokens(self) -> None:
        for name in sorted(find_token_secrets(self.documents)):
            if not self.dry_run and ensure_token(self.connection, self.namespace, name, self.name):
                self.on(Noted(text=f"created Secret {name} for the transport token"))

    def _list_live(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        resources = dict.fromkeys(self.resources.resolve_document(document) for document in self.documents)
        found = members.list_members(self.connection, resources, self.namespace, self.identifier)
        return {(resource.kind, str(item["metadata"]["name"])): item for resource, item in found}

    def _apply_document(self, document: Mapping[str, Any], live: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
        wanted = add_digest(applyset.add_set_label(document, self.identifier))
        present = live.get((str(document["kind"]), str(document["metadata"]["name"])))
        if present is not None and not find_differences(wanted, present):
            return "unchanged"
        if present is not None:
            self._hand_over_replicas(document, present)
        created = self._patch_document(wanted)
        return "created" if created else "changed"

    def _hand_over_replicas(self, document: Mapping[str, Any], present: Mapping[str, Any]) -> None:
        """Where an autoscaler takes over, the replicas that run stay: a field that its one owner drops becomes 1.

        Source: Kubernetes "Server-Side Apply", transferring ownership.
        """
        running = (present.get("spec") or {}).get("replicas")
        if document["kind"] not in KINDS or "replicas" in document["spec"] or running in (None, 0, 1):
            return
        if document["kind"] == "DynamoGraphDeployment" or not _owns_replicas(present):
            return
        names = {key: document["metadata"][key] for key in ("name", "namespace")}
        kept = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": names}
        selector = {"selector": document["spec"]["selector"]} if "selector" in document["spec"] else {}
        self._patch_document({**kept, "spec": {"replicas": running, **selector}}, manager=_SCALER)

    def _patch_document(self, document: Mapping[str, Any], manager: str = MANAGER) -> bool:
        resource = self.resources.resolve_document(document)
        query = {"fieldManager": manager}
        query |= {"force": "true"} if self.options.force else {}
        query |= {"dryRun": "All"} if self.dry_run else {}
        name = str(document["metadata"]["name"])
        path = resource.build_path(name, self.namespace)
        answer = self.connection.request("PATCH", path, query=query, body=codec.to_plain(document), kind=APPLY_PATCH)
        what = f"{document['kind']}/{name}"
        if not answer.is_ok:
            raise build_answer_error(answer, what)
        for warning in answer.warnings:
            self.on(Warned(text=f"{what}: {warning}"))
        return answer.status == 201

    def _prune_leftovers(self, known: set[str]) -> list[str]:
        claims = self.options.prune == "claims"
        place = (self.namespace, self.identifier)
        gone = find_leftovers(self.connection, self.resources, self.documents, *place, known, claims)
        for resource, name in gone:
            query = {"propagationPolicy": "Background"} | ({"dryRun": "All"} if self.dry_run else {})
            answer = self.connection.request("DELETE", resource.build_path(name, self.namespace), query=query)
            if not answer.is_ok and answer.status != 404:
                raise build_answer_error(answer, f"{resource.kind}/{name}")
            self.on(Noted(text=f"removed {resource.kind}/{name}"))
        return [f"{resource.kind}/{name}" for resource, name in gone]


def _owns_replicas(present: Mapping[str, Any]) -> bool:
    for entry in present["metadata"].get("managedFields") or ():
        if entry.get("manager") == MANAGER and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {}):
            return True
    return False


def find_leftovers(
    connection: Connection,
    resources: Resources,
    documents: Sequence[Mapping[str, Any]],
    namespace: str,
    identifier: str,
    kinds: Collection[str],
    claims: bool = False,
) -> list[tuple[Resource, str]]:
    """What the set holds and the manifests do not: an apply removes it. Claims are counted only when asked for."""
    wanted = {(str(item["kind"]), str(item["metadata"]["name"])) for item in documents}
    served = {applyset.format_group_kind(document): resources.resolve_document(document) for document in documents}
    found: list[tuple[Resource, str]] = []
    for kind in sorted(kinds):
        resource = served.get(kind) or members.find_resource(connection, resources, kind)
        if resource is None or (resource.kind in _KEPT_KINDS and not claims):
            continue
        items = [
            item
            for _, item in members.list_members(connection, [resource], namespace, identifier)
            if (resource.kind, item["metadata"]["name"]) not in wanted
        ]
        if resource.kind == "ConfigMap":
            items = _select_oldest(items)
        found += [(resource, str(item["metadata"]["name"])) for item in items]
    return found


def _select_oldest(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    newest_first = sorted(items, key=lambda item: str(item["metadata"].get("creationTimestamp", "")), reverse=True)
    return newest_first[_KEPT_CONFIGURATIONS:]


def find_instance_name(documents: Sequence[Mapping[str, Any]]) -> str:
    """The deployment's name as its objects carry it."""
    for document in documents:
        if name := document["metadata"].get("labels", {}).get("app.kubernetes.io/instance"):
            return str(name)
    return ""
