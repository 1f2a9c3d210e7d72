"""A target whose manifests are Kubernetes objects: checks, trees, comparison and server-side apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo_build.events import Listener
    from dynamo_build.model.deployment import Deployment, Finding, Manifests
    from dynamo_build.seams import Surroundings


class ClusterTarget:
    """Everything but `render`, which says which objects a deployment becomes."""

    #: Forms for other tools; each is a folder.
    trees = ("kustomize", "helm")

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    def render(self, deployment: Deployment) -> Manifests:
        """The objects of a deployment. Raises DeployError for what they cannot express."""
        raise NotImplementedError

    def apply(self, manifests: Manifests, on: Listener) -> str:
        """Apply, prune what the deployment no longer has, wait when asked. Raises DeployError or ToolMissing."""
        from dynamo_build.deploy.cluster.apply import apply_manifests

        return apply_manifests(manifests, self.surroundings, on)

    def check(self, manifests: Manifests, *, strict: bool, version: str) -> tuple[Finding, ...]:
        """Mistakes in the objects. `strict` adds the API's schema, which takes a second to load. Raises UsageError."""
        from dynamo_build.deploy.kubernetes.checks.version_rules import parse_minor_version
        from dynamo_build.deploy.kubernetes.objects.manifest_files import find_token_secrets

        minor = parse_minor_version(version)
        documents = [item.document for item in manifests.items]
        provided = {("Secret", name) for name in find_token_secrets(documents)}
        if strict:
            from dynamo_build.deploy.cluster.strict_check import check_documents

            return tuple(check_documents(documents, manifests.namespace, provided, minor))
        from dynamo_build.deploy.kubernetes.checks.rules import collect_findings

        return tuple(collect_findings(documents, manifests.namespace, provided, minor))

    def reach(self) -> None:
        """Ask the cluster for its version. Raises DeployError or ToolMissing."""
        from dynamo_build.deploy.cluster.apply import connect_cluster

        connect_cluster(self.surroundings).get_version()

    def diff(self, manifests: Manifests) -> tuple[str, ...]:
        """One line for each field that an apply would change. Raises DeployError or ToolMissing."""
        from dynamo_build.deploy.cluster import field_diff
        from dynamo_build.deploy.cluster.apply import connect_cluster

        return tuple(field_diff.diff_manifests(manifests, connect_cluster(self.surroundings)))

    def write_tree(self, form: str, manifests: Manifests, deployment: Deployment) -> Mapping[str, str]:
        """A Helm chart, or a kustomize base with an overlay for each environment."""
        if form == "helm":
            from dynamo_build.deploy.kubernetes.objects.helm import render_helm

            return render_helm(manifests, deployment)
        from dynamo_build.deploy.kubernetes.objects.graph import list_environments
        from dynamo_build.deploy.kubernetes.objects.kustomize import render_kustomize

        def render_as(environment: str) -> Manifests:
            return self.render(replace(deployment, options={**deployment.options, "environment": environment}))

        return render_kustomize(render_as(""), {name: render_as(name) for name in list_environments(deployment)})
