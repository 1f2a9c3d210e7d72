"""The strict check of `--check`: the models of the `kubernetes` client and our own rules, without a server."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import Document, describe_object
from dynamo_build.deploy.kubernetes.checks.link_rules import Identity
from dynamo_build.deploy.kubernetes.checks.rules import collect_findings
from dynamo_build.errors import ToolMissing
from dynamo_build.model.deployment import Finding


def check_documents(
    documents: Sequence[Document], namespace: str, provided: Collection[Identity] = (), version: int = 0
) -> tuple[Finding, ...]:
    """The findings of the strict models and of our own rules, one for each field. Raises ToolMissing."""
    found = [finding for document in documents for finding in schema_findings(document)]
    seen = {(finding.where, finding.path) for finding in found}
    own = collect_findings(documents, namespace, provided, version)
    return (*found, *(finding for finding in own if (finding.where, finding.path) not in seen))


_FIRST_STRICT = 37
_INSTALL = "Install it: pip install 'kubernetes>=37'."


def schema_findings(document: Document) -> tuple[Finding, ...]:
    """What the API's own schema refuses; nothing for kinds that the client does not know. Raises ToolMissing."""
    model = _find_model(str(document.get("apiVersion", "")), str(document.get("kind", "")))
    if model is None:
        return ()
    from pydantic import ValidationError

    try:
        model.model_validate(document)
    except ValidationError as error:
        return tuple(_build_finding(document, item) for item in error.errors(include_url=False, include_context=False))
    return ()


def _find_model(api_version: str, kind: str) -> Any:
    try:
        from kubernetes import __version__, client
    except ImportError as error:
        raise ToolMissing("the `kubernetes` package is not installed", [_INSTALL]) from error
    if int(__version__.partition(".")[0]) < _FIRST_STRICT:
        raise ToolMissing(f"kubernetes {__version__} has no strict models", [_INSTALL])
    version = api_version.rpartition("/")[2]
    return getattr(client, version[:1].upper() + version[1:] + kind, None)


def _build_finding(document: Document, item: Any) -> Finding:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"]).lstrip(".")
    message = "field not declared in schema" if item["type"] == "extra_forbidden" else str(item["msg"])
    return Finding(where=describe_object(document), path=path, message=message[:1].lower() + message[1:])
