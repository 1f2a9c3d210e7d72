"""One fault each in good manifests of ours, with what a real API server answered to such a fault.

`apply` is the status of a server-side apply, `create` that of a POST with strict validation; `warns` says that the
server accepts it with a warning. Where both are 201, only rules over several objects can see the fault.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from support.deployments import deployment, disaggregated_graph

GONE = object()
WORKER = ("Deployment", "llm-vllm-worker")
CONTAINER = "spec/template/spec/containers/0"


@dataclass(frozen=True)
class Fault:
    name: str
    target: tuple[str, str]
    path: str
    value: Any
    apply: int
    create: int
    cause: str = ""
    warns: bool = False


def good() -> list[dict[str, Any]]:
    """A graph with everything on, and a Secret and a Role beside it."""
    options = {
        "autoscaling": {"Processor": {"minimum": 2, "maximum": 4}},
        "ingress-host": "a.example.com",
        "model-cache-size": "100Gi",
        "egress": "graph",
        "nats-image": "example.com/nats@sha256:" + "1" * 64,
    }
    made = deployment(disaggregated_graph(), name="llm", bento="llm:1234e56", options=options)
    documents = [copy.deepcopy(dict(item.document)) for item in build_objects(made)]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "llm"}
    return [
        *documents,
        _object("v1", "Secret", "llm-transport", type="Opaque", data={"token": "YQ=="}),
        _object("rbac.authorization.k8s.io/v1", "Role", "llm", rules=[]),
        _object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "llm",
            roleRef=role,
            subjects=[{"kind": "ServiceAccount", "name": "llm", "namespace": "demo"}],
        ),
    ]


def _object(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "demo"}, **content}


def broken(fault: Fault) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The good manifests with that fault, and the object that has it."""
    documents = good()
    document = next(item for item in documents if (item["kind"], item["metadata"]["name"]) == fault.target)
    *parents, last = fault.path.split("/")
    node: Any = document
    for step in parents:
        step = step.replace("~", "/")
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    last = last.replace("~", "/")
    if fault.value is GONE:
        del node[int(last) if isinstance(node, list) else last]
    elif isinstance(node, list) and last == "+":
        node.append(fault.value)
    else:
        node[int(last) if isinstance(node, list) else last] = fault.value
    return documents, document


def _worker(
    name: str, path: str, value: Any, apply: int, create: int, cause: str = "", *, warns: bool = False
) -> Fault:
    return Fault(name, WORKER, path, value, apply, create, cause, warns)


_C = CONTAINER.replace("/", ".").replace("containers.0", "containers[0]")
FAULTS = (
    _worker("misspelt field of a container", f"{CONTAINER}/comand", ["x"], 500, 400),
    _worker("misspelt field of a pod", "spec/template/spec/nodeselector", {"a": "b"}, 500, 400),
    _worker("replicas as a word", "spec/replicas", "two", 500, 400),
    _worker("port as a string", f"{CONTAINER}/ports/0/containerPort", "8000", 500, 400),
    _worker("variable as a number", f"{CONTAINER}/env/2", {"name": "A", "value": 1}, 500, 400),
    Fault("ConfigMap value as a number", ("ConfigMap", ""), "data/n", 3, 500, 400),
    _worker("no selector", "spec/selector", {}, 422, 422, "spec.selector"),
    _worker("selector of another", "spec/selector/matchLabels/app.kubernetes.io~name", "x", 422, 422, "spec.template.metadata.labels"),
    _worker("nothing may change in a rollout", "spec/strategy/rollingUpdate", {"maxSurge": 0, "maxUnavailable": 0}, 422, 422,
            "spec.strategy.rollingUpdate.maxUnavailable"),
    _worker("mount without volume", "spec/template/spec/volumes", [], 422, 422, f"{_C}.volumeMounts[0].name"),
    Fault("mount without volume in a StatefulSet", ("StatefulSet", "llm-nats"), "spec/volumeClaimTemplates", [], 422, 422,
          f"{_C}.volumeMounts[0].name"),
    _worker("two handlers in a probe", f"{CONTAINER}/readinessProbe/exec", {"command": ["true"]}, 422, 422, f"{_C}.readinessProbe.httpGet"),
    _worker("no image", f"{CONTAINER}/image", GONE, 422, 422, f"{_C}.image"),
    _worker("long port name", f"{CONTAINER}/ports/0/name", "this-name-is-too-long", 422, 422, f"{_C}.ports[0].name"),
    _worker("value and valueFrom", f"{CONTAINER}/env/0/value", "x", 422, 422, f"{_C}.env[0].valueFrom"),
    Fault("autoscaler upside down", ("HorizontalPodAutoscaler", "llm-processor"), "spec/minReplicas", 9, 422, 422, "spec.maxReplicas"),
    Fault("budget with both", ("PodDisruptionBudget", "llm-processor"), "spec/minAvailable", 1, 422, 422, "spec"),
    Fault("claim without a size", ("PersistentVolumeClaim", "llm-models"), "spec/resources", {}, 422, 422, "spec.resources[storage]"),
    Fault("policy port out of range", ("NetworkPolicy", "llm-router"), "spec/ingress/0/ports/0/port", 80000, 422, 422,
          "spec.ingress[0].ports[0].port"),
    _worker("GPU request is not the limit", f"{CONTAINER}/resources/requests/nvidia.com~gpu", "4", 422, 422, f"{_C}.resources.requests"),
    _worker("memory request over the limit", f"{CONTAINER}/resources/requests/memory", "400Gi", 422, 422, f"{_C}.resources.requests"),
    Fault("bad name", ("Service", "llm-router"), "metadata/name", "My_Svc", 422, 422, "metadata.name"),
    Fault("long name", ("Service", "llm-router"), "metadata/name", "a" * 70, 422, 422, "metadata.name"),
    _worker("bad label", "metadata/labels/app.kubernetes.io~version", "a b/c", 422, 422, "metadata.labels"),
    _worker("memory 16GB", f"{CONTAINER}/resources/limits/memory", "16GB", 500, 400),
    _worker("CPU 1,5", f"{CONTAINER}/resources/requests/cpu", "1,5", 500, 400),
    Fault("Secret not base64", ("Secret", "llm-transport"), "data/token", "not base64!", 500, 400),
    _worker("pull policy", f"{CONTAINER}/imagePullPolicy", "Alwayss", 422, 422, f"{_C}.imagePullPolicy"),
    _worker("toleration effect", "spec/template/spec/tolerations/0/effect", "Never", 422, 422, "spec.template.spec.tolerations[0].effect"),
    Fault("topology spread", ("Deployment", "llm-processor"), "spec/template/spec/topologySpreadConstraints/0/whenUnsatisfiable",
          "Sometimes", 422, 422, "spec.template.spec.topologySpreadConstraints[0].whenUnsatisfiable"),
    _worker("container twice", "spec/template/spec/containers/+", {"name": "main", "image": "a@sha256:" + "1" * 64}, 500, 422,
            "spec.template.spec.containers[1].name"),
    Fault("autoscaler of a removed version", ("HorizontalPodAutoscaler", "llm-processor"), "apiVersion", "autoscaling/v2beta2", 404, 404),
    Fault("budget of a removed version", ("PodDisruptionBudget", "llm-processor"), "apiVersion", "policy/v1beta1", 404, 404),
    _worker("namespace that is not there", "metadata/namespace", "nowhere", 404, 404),
    _worker("negative grace period", "spec/template/spec/terminationGracePeriodSeconds", -1, 201, 201, warns=True),
    _worker("privileged", f"{CONTAINER}/securityContext", {"privileged": True}, 201, 201, warns=True),
    Fault("Service selects nothing", ("Service", "llm-router"), "spec/selector/app.kubernetes.io~name", "nothing", 201, 201),
    Fault("target port misspelt", ("Service", "llm-router"), "spec/ports/0/targetPort", "sytsem", 201, 201),
    Fault("Ingress to nobody", ("Ingress", "llm-frontend"), "spec/rules/0/http/paths/0/backend/service/name", "absent", 201, 201),
    Fault("autoscaler of nobody", ("HorizontalPodAutoscaler", "llm-processor"), "spec/scaleTargetRef/name", "absent", 201, 201),
    Fault("role of nobody", ("RoleBinding", "llm"), "roleRef/name", "absent", 201, 201),
    _worker("ServiceAccount absent", "spec/template/spec/serviceAccountName", "absent", 201, 201),
    _worker("PriorityClass absent", "spec/template/spec/priorityClassName", "absent", 201, 201),
    _worker("image with a space", f"{CONTAINER}/image", "a b", 201, 201),
    Fault("budget selects nothing", ("PodDisruptionBudget", "llm-processor"), "spec/selector/matchLabels/app.kubernetes.io~name", "x", 201, 201),
)  # fmt: skip


def resolved(fault: Fault) -> Fault:
    """The fault with the name of the ConfigMap, which is its content's."""
    if fault.target != ("ConfigMap", ""):
        return fault
    name = next(item["metadata"]["name"] for item in good() if item["kind"] == "ConfigMap")
    return Fault(
        fault.name, ("ConfigMap", name), fault.path, fault.value, fault.apply, fault.create, fault.cause, fault.warns
    )
