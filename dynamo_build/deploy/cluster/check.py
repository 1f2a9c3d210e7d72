"""`--check`: everything that can be known to be wrong before a request is sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dynamo_build.deploy.cluster.schema import schema_findings
from dynamo_build.deploy.kubernetes.checks.finding import Document
from dynamo_build.deploy.kubernetes.checks.link_rules import Identity
from dynamo_build.deploy.kubernetes.checks.rules import findings
from dynamo_build.model.deployment import Finding


def check(
    documents: Sequence[Document], namespace: str, provided: Collection[Identity] = (), version: int = 0
) -> tuple[Finding, ...]:
    """The findings of the strict models and of our own rules, one for each field. Raises ToolMissing."""
    found = [finding for document in documents for finding in schema_findings(document)]
    seen = {(finding.where, finding.path) for finding in found}
    own = findings(documents, namespace, provided, version)
    return (*found, *(finding for finding in own if (finding.where, finding.path) not in seen))
