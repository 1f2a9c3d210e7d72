"""What the objects of one deployment are called, and the labels that tie them together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from dynamo.sdk import codec
from dynamo_build.deploy.kubernetes.objects import names
from dynamo_build.deploy.kubernetes.objects.options import KubernetesOptions, kubernetes_options
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment, Workload

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
        self.deployment = replace(deployment, workloads=tuple(map(self._timed, deployment.workloads)))
        self.instance = names.dns_label(deployment.name, names.DEPLOYMENT_LIMIT)
        self.namespace = deployment.namespace
        self._labels = names.service_labels(workload.service for workload in deployment.workloads)

    def _timed(self, workload: Workload) -> Workload:
        startup = self.options.startup.get(workload.service, workload.startup)
        return replace(workload, startup=startup, drain=self.options.drain.get(workload.service, workload.drain))

    @cached_property
    def config(self) -> str:
        """The resolved configuration as the workers read it."""
        return codec.canonical(self.deployment.config).decode()

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

    def workload(self, service: str) -> Workload:
        for workload in self.deployment.workloads:
            if workload.service == service:
                return workload
        raise DeployError(f"the deployment has no service `{service}`")

    def component(self, service: str) -> str:
        """A service's DNS label within the deployment."""
        return self._labels[service]

    def name(self, service: str) -> str:
        """The name of a service's objects."""
        return names.object_name(self.instance, self._labels[service])

    def selector(self, component: str = "") -> dict[str, str]:
        """What finds the pods of one component, or of the whole deployment. Never changes between versions."""
        found = {"app.kubernetes.io/instance": self.instance}
        return {"app.kubernetes.io/name": component, **found} if component else found

    def labels(self, component: str = "", kind: str = "") -> dict[str, str]:
        """The recommended labels."""
        name, _, version = self.deployment.bento.partition(":")
        labels = {
            **self.selector(component or self.instance),
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
        return {**own, **self.labels(self.component(workload.service), workload.component_type or "service")}

    def metadata(self, name: str, labels: Mapping[str, str]) -> dict[str, object]:
        return {"name": name, "namespace": self.namespace, "labels": dict(labels)}
