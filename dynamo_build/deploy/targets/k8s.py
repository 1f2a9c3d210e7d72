"""The default target: plain Kubernetes objects, applied server-side."""

from __future__ import annotations

from dynamo_build.deploy.cluster_target import ClusterTarget
from dynamo_build.deploy.kubernetes.objects import names
from dynamo_build.deploy.kubernetes.objects.graph import objects
from dynamo_build.model.deployment import Deployment, Manifests


class KubernetesTarget(ClusterTarget):
    """Renders without touching a cluster; applies with the field manager `dynamo`."""

    pins_architecture = True

    def render(self, deployment: Deployment) -> Manifests:
        """One Deployment per service and what it needs. Raises DeployError for what Kubernetes cannot express."""
        found = objects(deployment)
        instance = names.dns_label(deployment.name, names.DEPLOYMENT_LIMIT)
        return Manifests(deployment=instance, namespace=deployment.namespace, target=deployment.target, items=found)
