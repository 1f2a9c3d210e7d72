"""Names and labels of the objects of one deployment, and the settings of the Kubernetes targets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.suggestions import did_you_mean
from dynamo_build.deploy.kubernetes.objects import names
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """Replicas of one service by CPU use; the workload then names no replicas of its own.

    With a `query` they follow a figure of Prometheus at `prometheus`, one replica for each `threshold` of it; that is
    done by KEDA, which can also go down to none.
    """

    minimum: int = 1
    maximum: int = 2
    cpu_percent: int = 80
    query: str = ""
    threshold: str = ""
    prometheus: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesOptions:
    """Everything about a cluster that a graph does not say.

    `egress` is `open` (no limit) or `graph` (DNS, NATS and the graph's own edges only). `environment` chooses among the
    `environments` of `kubernetes_overrides`. `gateway` is a `NAME` or `NAMESPACE/NAME` and makes an HTTPRoute in place
    of an Ingress. A service that asks for more than `gpus_per_node` GPUs runs on several nodes, as a LeaderWorkerSet.
    `startup` and `drain` are seconds by service: the budget for loading a model, and the time to finish what runs.
    `crd_version` is v1beta1 or v1alpha1, for the target `dynamo-crd`. `read_only_root` is `auto`
    (services without GPUs: the GPU container hook writes into the root), `always` or `never`. `shared_memory` is a
    quantity, or "" for half of a GPU service's memory and at most 8Gi.
    """

    architecture: str = ""
    autoscaling: Mapping[str, Autoscaling] = field(default_factory=dict)
    crd_version: str = "v1beta1"
    create_namespace: bool = False
    drain: Mapping[str, int] = field(default_factory=dict)
    egress: str = "open"
    environment: str = ""
    gateway: str = ""
    gpu_resource: str = "nvidia.com/gpu"
    gpu_toleration: bool = True
    gpus_per_node: int = 8
    image_pull_secrets: tuple[str, ...] = ()
    ingress_class: str = ""
    ingress_host: str = ""
    ingress_tls_secret: str = ""
    metrics_namespace: str = ""
    model_cache: str = ""
    model_cache_path: str = "/models"
    model_cache_size: str = ""
    nats_image: str = "nats:2"
    nats_storage: str = "1Gi"
    network_policy: bool = True
    node_selector: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    pod_monitor: bool = False
    priority_class: str = ""
    read_only_root: str = "auto"
    runtime_class: str = ""
    shared_memory: str = ""
    startup: Mapping[str, int] = field(default_factory=dict)
    storage_class: str = ""
    tolerations: tuple[Mapping[str, object], ...] = ()


_ALL = "All options and their forms are in docs/reference/targets.md."
_LONGEST = 24 * 3600
_CHOICES = {
    "crd_version": ("v1beta1", "v1alpha1"),
    "egress": ("open", "graph"),
    "read_only_root": ("auto", "always", "never"),
}


def kubernetes_options(deployment: Deployment) -> KubernetesOptions:
    """The options of a deployment, `some-option` read as `some_option`. Raises DeployError for unfit ones."""
    given = {str(key).replace("-", "_"): value for key, value in codec.to_plain(deployment.options).items()}
    document = {name: _parse_option(name, value) for name, value in given.items()}
    for name in document:
        if name not in KubernetesOptions.__annotations__:
            hint = did_you_mean(name, KubernetesOptions.__annotations__, _ALL)
            raise DeployError(f"target `{deployment.target}` has no option `{name}`", [hint])
    try:
        options = codec.decode(KubernetesOptions, document)
    except codec.CodecError as error:
        raise DeployError(f"target option {error}", [_ALL]) from error
    for name, choices in _CHOICES.items():
        if getattr(options, name) not in choices:
            raise DeployError(f"target option {name} is `{getattr(options, name)}`", [f"Use {' or '.join(choices)}."])
    _check_numbers(options)
    services = {workload.service for workload in deployment.workloads}
    for field_name in ("autoscaling", "drain", "overrides", "startup"):
        for name in getattr(options, field_name):
            if name not in services:
                hint = f"The graph has {', '.join(sorted(services))}."
                raise DeployError(f"target option {field_name} names `{name}`, which is no service", [hint])
    return options


def _check_numbers(options: KubernetesOptions) -> None:
    if options.gpus_per_node < 1:
        raise DeployError(f"target option gpus_per_node is {options.gpus_per_node}", ["A node has at least 1."])
    for name, seconds in {**options.drain, **options.startup}.items():
        if not 0 < seconds <= _LONGEST:
            raise DeployError(
                f"target option startup or drain of {name} is {seconds}", ["Give seconds, a day at most."]
            )
    for service, scaling in options.autoscaling.items():
        asks = [name for name in ("query", "threshold", "prometheus") if not getattr(scaling, name)]
        if 0 < len(asks) < 3:
            hint = "KEDA needs `query`, `threshold` and the address `prometheus`."
            raise DeployError(f"target option autoscaling of {service} has no `{asks[0]}`", [hint])
        if scaling.minimum < (1 if asks else 0) or scaling.maximum < max(1, scaling.minimum):
            text = f"{scaling.minimum} to {scaling.maximum}"
            hint = "The least is 1, or 0 with a `query`; the most is no less than that."
            raise DeployError(f"target option autoscaling of {service} is {text} replicas", [hint])


def _parse_option(name: str, value: Any) -> Any:
    """What a flag gave as text, as the field's type: JSON, or a list with commas."""
    kind = KubernetesOptions.__annotations__.get(name, "str")
    if not isinstance(value, str) or kind == "str":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return [part.strip() for part in value.split(",") if part.strip()] if kind == "tuple[str, ...]" else value


HTTP_PORT = 8000
SYSTEM_PORT = 9090
RPC_PORT = 9345
NATS_PORT = 4222
CONFIG_KEY = "config.json"
TOKEN_KEY = "token"  # noqa: S105 - the name of a key
MANAGER = "dynamo"
NATS = "nats"


class Layout:
    """Names, labels and selectors of a deployment. Raises DeployError for options that do not fit."""

    def __init__(self, deployment: Deployment) -> None:
        self.options: KubernetesOptions = kubernetes_options(deployment)
        self.deployment = replace(deployment, workloads=tuple(map(self._set_timeouts, deployment.workloads)))
        self.instance = names.dns_label(deployment.name, names.DEPLOYMENT_LIMIT)
        self.namespace = deployment.namespace
        self._labels = names.service_labels(workload.service for workload in deployment.workloads)

    def _set_timeouts(self, workload: Workload) -> Workload:
        startup = self.options.startup.get(workload.service, workload.startup)
        return replace(workload, startup=startup, drain=self.options.drain.get(workload.service, workload.drain))

    @cached_property
    def config(self) -> str:
        """The resolved configuration as the workers read it."""
        return codec.encode_canonical(self.deployment.config).decode()

    @cached_property
    def config_name(self) -> str:
        """A name that changes with the content: a new configuration rolls the pods, an old pod keeps its own."""
        return f"{self.instance}-config-{hashlib.sha256(self.config.encode()).hexdigest()[:10]}"

    @property
    def nats_name(self) -> str:
        return f"{self.instance}-nats"

    @property
    def nats_address(self) -> str:
        return self.deployment.nats or f"nats://{self.nats_name}:{NATS_PORT}"

    @property
    def token_secret(self) -> str:
        return f"{self.instance}-transport"

    @property
    def service_account(self) -> str:
        return self.instance

    def find_workload(self, service: str) -> Workload:
        for workload in self.deployment.workloads:
            if workload.service == service:
                return workload
        raise DeployError(f"the deployment has no service `{service}`")

    def get_component(self, service: str) -> str:
        """A service's DNS label within the deployment."""
        return self._labels[service]

    def build_name(self, service: str) -> str:
        """The name of a service's objects."""
        return names.object_name(self.instance, self._labels[service])

    def build_selector(self, component: str = "") -> dict[str, str]:
        """What finds the pods of one component, or of the whole deployment. Never changes between versions."""
        found = {"app.kubernetes.io/instance": self.instance}
        return {"app.kubernetes.io/name": component, **found} if component else found

    def build_labels(self, component: str = "", kind: str = "") -> dict[str, str]:
        """The recommended labels."""
        name, _, version = self.deployment.bento.partition(":")
        labels = {
            **self.build_selector(component or self.instance),
            "app.kubernetes.io/component": names.label_value(kind) or "graph",
            "app.kubernetes.io/managed-by": MANAGER,
            "app.kubernetes.io/part-of": names.label_value(name),
            "app.kubernetes.io/version": names.label_value(version),
        }
        if kind == NATS:
            del labels["app.kubernetes.io/version"]  # a new version of the graph must not restart its NATS
        return {key: value for key, value in labels.items() if value}

    def workload_labels(self, workload: Workload) -> dict[str, str]:
        """The recommended labels and the service's own. Raises DeployError for a key that is not a label's."""
        own: dict[str, str] = {}
        for key, value in sorted(workload.labels.items()):
            if not names.is_label_key(key):
                raise DeployError(
                    f"service {workload.service}: `{key}` cannot be the key of a label",
                    ["Write `name` or `prefix.example/name`, of letters, digits, `-`, `_` and `.`."],
                )
            own[key] = names.label_value(value)
        return {**own, **self.build_labels(self.get_component(workload.service), workload.component_type or "service")}

    def build_metadata(self, name: str, labels: Mapping[str, str]) -> dict[str, object]:
        return {"name": name, "namespace": self.namespace, "labels": dict(labels)}
