"""Manifests as a Helm chart: what differs between installations is a value, with a schema; the rest is as it is.

Source: Helm "Charts" (apiVersion v2), values.schema.json (JSON Schema draft 7).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo.sdk import codec
from dynamo_build.deploy.kubernetes.objects.manifest_files import format_heading
from dynamo_build.deploy.kubernetes.objects.writer import quote_text, yaml_document
from dynamo_build.model.deployment import Deployment, Manifests

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TEXT = {"type": "string", "minLength": 1}
_RESOURCES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("requests", "limits")
    },
}


def render_helm(manifests: Manifests, deployment: Deployment) -> dict[str, str]:
    """Names and texts of the chart's files. With its own values it gives the same objects as the plain form."""
    chart = _Chart(manifests)
    texts = {f"templates/{name}": text for name, text in chart.render_templates()}
    bento, _, version = deployment.bento.partition(":")
    about = {
        "apiVersion": "v2",
        "name": manifests.deployment,
        "description": f"The graph {bento}, entry {deployment.entry}.",
        "type": "application",
        "version": "0.1.0+" + re.sub(r"[^0-9A-Za-z-]", "-", version),
        "appVersion": version,
    }
    notes = "\n".join(format_heading(manifests)).replace(f"-n {manifests.namespace} ", "-n {{ .Release.Namespace }} ")
    return {
        "Chart.yaml": yaml_document(about),
        "values.yaml": yaml_document(chart.values),
        "values.schema.json": json.dumps(chart.build_schema(), indent=2) + "\n",
        "templates/NOTES.txt": notes + "\n",
        **texts,
    }


class _Chart:
    def __init__(self, manifests: Manifests) -> None:
        self.manifests = manifests
        self.values: dict[str, Any] = {"services": {}}
        # Cannot stand in a document: it would have to hold its own digest.
        content = codec.encode_canonical([item.document for item in manifests.items])
        self.mark = f"value-{hashlib.sha256(content).hexdigest()}"
        self.expressions: list[str] = []

    def render_templates(self) -> Iterator[tuple[str, str]]:
        for number, item in enumerate(self.manifests.items, 1):
            document = self._parametrize_document(codec.to_plain(item.document))
            lines = yaml_document(document).splitlines(keepends=True)
            text = "".join(_escape_braces(line) for line in lines)
            for index, expression in enumerate(self.expressions):
                text = text.replace(quote_text(f"{self.mark}-{index}-"), expression)
            yield f"{number:03d}-{item.file}.yaml", text

    def build_schema(self) -> dict[str, Any]:
        found = _build_closed_schema({name: _build_value_schema(value) for name, value in self.values.items()})
        return {"$schema": "http://json-schema.org/draft-07/schema#", **found}

    def _parametrize_document(self, document: dict[str, Any]) -> dict[str, Any]:
        metadata, kind = document["metadata"], document["kind"]
        if "namespace" in metadata:
            metadata["namespace"] = self._mark_expression("{{ .Release.Namespace | quote }}")
        service = (metadata.get("annotations") or {}).get("dynamo/service")
        if service:
            self._parametrize_service(document, service)
        elif kind == "StatefulSet":
            own = self.values.setdefault("nats", {})
            container = document["spec"]["template"]["spec"]["containers"][0]
            own["image"], container["image"] = (
                container["image"],
                self._mark_expression("{{ .Values.nats.image | quote }}"),
            )
            claim = document["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]
            own["storage"], claim["storage"] = (
                claim["storage"],
                self._mark_expression("{{ .Values.nats.storage | quote }}"),
            )
        elif kind in ("Ingress", "HTTPRoute"):
            self._parametrize_host(document["spec"])
        elif kind == "Namespace":
            metadata["name"] = self._mark_expression("{{ .Release.Namespace | quote }}")
        return document

    def _parametrize_service(self, document: dict[str, Any], service: str) -> None:
        own = self.values["services"][service] = {}
        path = f".Values.services.{service}" if _IDENTIFIER.fullmatch(service) else ""
        path = path or f"(index .Values.services {json.dumps(service)})"
        spec = document["spec"]
        if "replicas" in spec:
            own["replicas"], spec["replicas"] = (
                spec["replicas"],
                self._mark_expression(f"{{{{ {path}.replicas | int }}}}"),
            )
        both = spec.get("leaderWorkerTemplate") or {"": spec.get("template")}
        for template in [value for value in both.values() if isinstance(value, dict)]:
            container = template["spec"]["containers"][0]
            own["image"], own["resources"] = container["image"], container["resources"]
            container["image"] = self._mark_expression(f"{{{{ {path}.image | quote }}}}")
            container["resources"] = self._mark_expression(f"{{{{ {path}.resources | toJson }}}}")

    def _parametrize_host(self, spec: dict[str, Any]) -> None:
        expression = "{{ .Values.host | quote }}"
        for rule in spec.get("rules") or ():
            if "host" in rule:
                self.values["host"], rule["host"] = rule["host"], self._mark_expression(expression)
        for tls in spec.get("tls") or ():
            tls["hosts"] = [self._mark_expression(expression)]
        if spec.get("hostnames"):
            self.values["host"], spec["hostnames"] = spec["hostnames"][0], [self._mark_expression(expression)]

    def _mark_expression(self, expression: str) -> str:
        if expression not in self.expressions:
            self.expressions.append(expression)
        return f"{self.mark}-{self.expressions.index(expression)}-"


def _escape_braces(line: str) -> str:
    return re.sub(r"\{\{+", lambda match: '{{ "' + match[0] + '" }}', line)


def _build_value_schema(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and set(value) == {"requests", "limits"}:
        return dict(_RESOURCES)
    if isinstance(value, Mapping):
        return _build_closed_schema({str(name): _build_value_schema(item) for name, item in value.items()})
    return {"type": "integer", "minimum": 0} if isinstance(value, int) else dict(_TEXT)


def _build_closed_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties), "required": [*properties]}
