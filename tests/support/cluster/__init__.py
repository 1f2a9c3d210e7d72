"""An API server's double over real HTTP: discovery, objects, server-side apply, watch, warnings and scripted faults.

Honest where a deploy tool looks: statuses, 500 for a mistake in a manifest, conflicts, dry run, pod security. There is
no kubelet, no scheduler and no admission beyond that.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from support.cluster import port_forwarding, validation
from support.cluster.store import Refused, Script, Store

TOKEN = "double-token"
#: group/version → plural → (kind, namespaced)
SERVED: dict[str, dict[str, tuple[str, bool]]] = {
    "v1": {
        "namespaces": ("Namespace", False),
        "pods": ("Pod", True),
        "events": ("Event", True),
        "services": ("Service", True),
        "serviceaccounts": ("ServiceAccount", True),
        "configmaps": ("ConfigMap", True),
        "secrets": ("Secret", True),
        "persistentvolumeclaims": ("PersistentVolumeClaim", True),
    },
    "apps/v1": {"deployments": ("Deployment", True), "statefulsets": ("StatefulSet", True)},
    "autoscaling/v2": {"horizontalpodautoscalers": ("HorizontalPodAutoscaler", True)},
    "policy/v1": {"poddisruptionbudgets": ("PodDisruptionBudget", True)},
    "networking.k8s.io/v1": {"networkpolicies": ("NetworkPolicy", True), "ingresses": ("Ingress", True)},
    "rbac.authorization.k8s.io/v1": {"roles": ("Role", True), "rolebindings": ("RoleBinding", True)},
}
_FORWARD = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<name>[^/]+)/portforward")
_LOG = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<name>[^/]+)/log")
_PATH = re.compile(
    r"/apis?/(?P<version>v1|[^/]+/v[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?(?:/(?P<plural>[^/]+))?(?:/(?P<name>[^/]+))?"
)


@dataclass
class Fault:
    """An answer in place of the real one, for the next `times` requests that match."""

    method: str
    path: str
    status: int
    times: int = 1
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0


class Cluster(ThreadingHTTPServer):
    """The double. `requests` holds (method, path, query) of all that it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = Store()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.served = {version: dict(kinds) for version, kinds in SERVED.items()}
        self.logs: dict[str, str] = {}
        self.listening: dict[tuple[str, int], tuple[str, int]] = {}
        self.users: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self.used: set[tuple[str, str, str]] = set()
        for name in ("default", "demo"):
            self.namespace(name)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def namespace(self, name: str, **labels: str) -> None:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.store.create(("namespaces", "", name), document, "double", False)

    def serve(self, version: str, plural: str, kind: str) -> None:
        """As if the definition of a custom resource were installed."""
        self.served.setdefault(version, {})[plural] = (kind, True)

    def user(self, name: str, *roles: dict[str, Any]) -> str:
        """A user who may do what these Roles list and nothing else; gives the token."""
        self.users[f"token-of-{name}"] = (name, [rule for role in roles for rule in role["rules"]])
        return f"token-of-{name}"

    def script(self, workload: str, **how: Any) -> None:
        """How the controller treats the workload of that name; see Script."""
        self.store.scripts[workload] = Script(**how)

    def fail(self, method: str, path: str, status: int, **how: Any) -> None:
        """Answer the next matching request (`path` is a regular expression) with this status."""
        self.faults.append(Fault(method=method, path=path, status=status, **how))

    def get(self, plural: str, name: str, namespace: str = "demo") -> dict[str, Any]:
        return self.store.get((plural, namespace, name))

    def names(self, plural: str, namespace: str = "demo") -> list[str]:
        return [item["metadata"]["name"] for item in self.store.list(plural, namespace)]

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.requests if method != "GET"]

    def kubeconfig(self, folder: Path, token: str = TOKEN) -> Path:
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": self.address}}],
            "users": [{"name": "double", "user": {"token": token}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "double", "namespace": "demo"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running double on a free loopback port."""
    server = Cluster()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Cluster

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        self.server.requests.append((self.command, url.path, query))
        self.warnings: list[str] = []
        try:
            if self._fault(url.path):
                return
            self.rules = self._known()
            if (found := _FORWARD.fullmatch(url.path)) is not None:
                self._forward(found["namespace"], found["name"], int(query["ports"]))
                return
            with self.server.store.lock:
                self.server.store.reconcile()
                if (found := _LOG.fullmatch(url.path)) is not None:
                    self._log(found["namespace"], found["name"], query)
                    return
                status, body = self._dispatch(url.path, query, text)
        except Refused as refused:
            status, body = refused.status, _status(refused)
        if status == 0:
            self._watch(url.path, query)
        else:
            self._send(status, body)

    def _known(self) -> tuple[str, list[dict[str, Any]]] | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token == TOKEN:
            return None
        if token not in self.server.users:
            raise Refused(401, "Unauthorized", "Unauthorized")
        return self.server.users[token]

    def _allow(self, verb: str, group: str, resource: str, namespace: str) -> None:
        if self.rules is None:
            return
        name, rules = self.rules
        self.server.used.add((verb, group, resource))
        for rule in rules:
            if namespace and verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]:
                return
        space = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        what = f"{resource}.{group}" if group else resource
        raise Refused(
            403,
            "Forbidden",
            f'{what} is forbidden: User "{name}" cannot {verb} resource "{resource}" in API group "{group}"{space}',
        )

    def _forward(self, namespace: str, name: str, port: int) -> None:
        self._allow("get", "", "pods/portforward", namespace)
        self.server.store.get(("pods", namespace, name))
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", port_forwarding.accept_of(self.headers["Sec-WebSocket-Key"]))
        self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"].split(",")[0])
        self.end_headers()
        self.wfile.flush()
        port_forwarding.carry(self.rfile, self.wfile, self.server.listening[name, port], port)

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> None:
        self._allow("get", "", "pods/log", namespace)
        self.server.store.get(("pods", namespace, name))
        key = f"{name} previous" if query.get("previous") == "true" else name
        lines = self.server.logs.get(key, "").splitlines(keepends=True)
        text = "".join(lines[-int(query["tailLines"]) :] if "tailLines" in query else lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _fault(self, path: str) -> bool:
        for fault in self.server.faults:
            if fault.times and fault.method in ("*", self.command) and re.search(fault.path, path):
                fault.times -= 1
                time.sleep(fault.hang)
                if fault.status == 0:
                    self.close_connection = True
                    self.connection.close()
                else:
                    self._send(fault.status, fault.body or {"kind": "Status", "message": "scripted"}, fault.headers)
                return True
        return False

    def _dispatch(self, path: str, query: dict[str, str], text: bytes) -> tuple[int, Any]:
        if (found := _discovery(path, self.server.served)) is not None:
            return 200, found
        match = _PATH.fullmatch(path)
        served = self.server.served.get(match["version"], {}) if match else {}
        if match is None or match["plural"] not in served:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        plural, name, namespace = match["plural"], match["name"], match["namespace"] or ""
        kind = served[plural][0]
        group = match["version"].rpartition("/")[0]
        verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(self.command, "get")
        if verb == "get" and name is None:
            verb = "watch" if query.get("watch") in ("true", "1") else "list"
        self._allow(verb, group, plural, namespace)
        if self.command == "GET" and name is None:
            if query.get("watch") in ("true", "1"):
                return 0, None
            return 200, self._list(match["version"], kind, plural, namespace, query)
        key = (plural, namespace, name or "")
        store, dry_run = self.server.store, query.get("dryRun") == "All"
        if self.command == "GET":
            return 200, store.get(key)
        if self.command == "DELETE":
            return 200, store.delete(key, dry_run)
        document = yaml.safe_load(text) or {}
        manager = query.get("fieldManager", "unknown")
        if namespace and ("namespaces", "", namespace) not in store.objects:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        if self.command == "POST":
            key = (plural, namespace, document.get("metadata", {}).get("name", ""))
            self._validate(document, match["version"], kind, applied=False)
            return 201, store.create(key, document, manager, dry_run)
        if self.headers.get("Content-Type") == "application/apply-patch+yaml":
            if not query.get("fieldManager"):
                raise Refused(400, "BadRequest", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value')
            self._validate(document, match["version"], kind, applied=True)
            if key not in store.objects:
                self._allow("create", group, plural, namespace)
            saved, created = store.apply(key, document, manager, query.get("force") == "true", dry_run)
            return (201 if created else 200), saved
        return 200, store.update(key, {**store.get(key), **document}, manager, dry_run)

    def _validate(self, document: dict[str, Any], version: str, kind: str, *, applied: bool) -> None:
        metadata = document.get("metadata") or {}
        if document.get("apiVersion") != version or document.get("kind") != kind:
            raise Refused(400, "BadRequest", "the API version in the data does not match the expected API version")
        group_version = version if "/" in version else f"/{version}"
        identity = f"{metadata.get('namespace', '')}/{metadata.get('name')}; {group_version}, Kind={kind}"
        problems = list(validation.schema_problems(document))
        for problem in [*problems, *(validation.duplicates(document) if applied else ())]:
            if applied:
                raise Refused(500, "", f"failed to create typed patch object ({identity}): {problem}")
            raise Refused(
                400, "BadRequest", f'{kind} in version "{version}" cannot be handled: strict decoding error: {problem}'
            )
        for problem in validation.conversion_problems(document):
            if applied:
                raise Refused(500, "", f"failed to convert new object ({identity}) to proper version: {problem}")
            raise Refused(400, "BadRequest", f'{kind} in version "{version}" cannot be handled: {problem}')
        if causes := validation.invalid(document):
            listed = ", ".join(f"{where}: {message}" for where, message in causes)
            raise Refused(422, "Invalid", f'{kind} "{metadata.get("name")}" is invalid: {listed}', causes)
        self.warnings.extend(validation.warnings(document))
        space = self.server.store.objects.get(("namespaces", "", metadata.get("namespace", "")))
        labels = (space or {}).get("metadata", {}).get("labels") or {}
        if "restricted" in (
            labels.get("pod-security.kubernetes.io/warn"),
            labels.get("pod-security.kubernetes.io/enforce"),
        ):
            if found := validation.pod_security(document):
                self.warnings.append(f'would violate PodSecurity "restricted:latest": {", ".join(found)}')

    def _list(self, version: str, kind: str, plural: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        items = [item for item in self.server.store.list(plural, namespace) if _selected(item, query)]
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0)
        metadata: dict[str, Any] = {"resourceVersion": str(self.server.store.last)}
        if limit and len(items) > start + limit:
            metadata["continue"] = str(start + limit)
        page = items[start : start + limit] if limit else items
        page = [{key: value for key, value in item.items() if key not in ("apiVersion", "kind")} for item in page]
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": page}

    def _watch(self, path: str, query: dict[str, str]) -> None:
        match = _PATH.fullmatch(path)
        assert match is not None
        since = int(query.get("resourceVersion") or 0)
        if since and since < self.server.store.oldest_watchable:
            gone = Refused(410, "Expired", f"too old resource version: {since} ({self.server.store.oldest_watchable})")
            self._send(200, None, lines=[{"type": "ERROR", "object": _status(gone)}])
            return
        until = time.monotonic() + float(query.get("timeoutSeconds") or 1)
        lines: list[dict[str, Any]] = []
        while time.monotonic() < until and not lines:
            with self.server.store.lock:
                for version, kind, key, item in self.server.store.events:
                    wanted = key[0] == match["plural"] and match["namespace"] in (None, key[1])
                    if version > since and wanted and _selected(item, query):
                        lines.append({"type": kind, "object": item})
            time.sleep(0.01)
        self._send(200, None, lines=lines)

    def _send(
        self, status: int, body: Any, headers: dict[str, str] | None = None, lines: list[Any] | None = None
    ) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines) if lines is not None else json.dumps(body)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for warning in getattr(self, "warnings", ()):
            self.send_header("Warning", f"299 - {json.dumps(warning)}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _status(refused: Refused) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": refused.message,
        "reason": refused.reason,
        "code": refused.status,
        "details": {"causes": [{"field": where, "message": message} for where, message in refused.causes]},
    }


def _selected(item: dict[str, Any], query: dict[str, str]) -> bool:
    labels = item["metadata"].get("labels") or {}
    for part in filter(None, query.get("labelSelector", "").split(",")):
        key, equals, value = part.partition("=")
        if (equals and labels.get(key) != value) or (not equals and key not in labels):
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        found: Any = item
        for step in path.split("."):
            found = found.get(step, {}) if isinstance(found, dict) else {}
        if found != value:
            return False
    return True


def _discovery(path: str, known: dict[str, dict[str, tuple[str, bool]]]) -> dict[str, Any] | None:
    if path == "/version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.2"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    groups: dict[str, list[str]] = {}
    for served in known:
        if "/" in served:
            groups.setdefault(served.partition("/")[0], []).append(served)
    listed = {
        name: {
            "name": name,
            "versions": [{"groupVersion": version, "version": version.partition("/")[2]} for version in versions],
            "preferredVersion": {"groupVersion": versions[0], "version": versions[0].partition("/")[2]},
        }
        for name, versions in groups.items()
    }
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(listed.values())}
    if path.startswith("/apis/") and path.removeprefix("/apis/") in listed:
        return {"kind": "APIGroup", "apiVersion": "v1", **listed[path.removeprefix("/apis/")]}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in known or not path.startswith("/api"):
        return None
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {"name": plural, "kind": kind, "namespaced": namespaced, "singularName": kind.lower(), "verbs": verbs}
        for plural, (kind, namespaced) in known[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
