"""Every rule over a set of manifests, without a server and without a client."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dynamo_build.deploy.kubernetes.checks.finding import Document
from dynamo_build.deploy.kubernetes.checks.link_rules import Identity, link_findings
from dynamo_build.deploy.kubernetes.checks.object_rules import object_findings
from dynamo_build.deploy.kubernetes.checks.pod_rules import pod_findings
from dynamo_build.deploy.kubernetes.checks.version_rules import version_findings
from dynamo_build.model.deployment import Finding


def findings(
    documents: Sequence[Document], namespace: str, provided: Collection[Identity] = (), version: int = 0
) -> tuple[Finding, ...]:
    """Everything wrong with the manifests of a deployment in a namespace, errors first.

    `version` is the minor version of Kubernetes that they are for, 0 for all that are supported.
    """
    found: list[Finding] = []
    for document in documents:
        found += object_findings(document, namespace)
        found += pod_findings(document)
        found += version_findings(document, version)
    found += link_findings(documents, provided)
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.warning))
