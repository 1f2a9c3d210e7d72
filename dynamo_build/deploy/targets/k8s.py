"""The target `k8s`: plain Kubernetes objects, applied server-side."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.objects import names
from dynamo_build.deploy.kubernetes.objects.graph import objects
from dynamo_build.events import Listener
from dynamo_build.model.deployment import Deployment, Manifests
from dynamo_build.seams import Surroundings


class KubernetesTarget:
    """Renders without touching a cluster; applies with the field manager `dynamo`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    def render(self, deployment: Deployment) -> Manifests:
        """One Deployment per service and what it needs. Raises DeployError for what Kubernetes cannot express."""
        found = objects(deployment)
        instance = names.dns_label(deployment.name, names.DEPLOYMENT_LIMIT)
        return Manifests(deployment=instance, namespace=deployment.namespace, target="k8s", items=found)

    def apply(self, manifests: Manifests, on: Listener) -> str:
        """Apply, prune what the deployment no longer has, wait when asked. Raises DeployError or ToolMissing."""
        from dynamo_build.deploy.cluster.deploy import apply

        return apply(manifests, self.surroundings, on)
