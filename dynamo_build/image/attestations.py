"""Attestations of an image: a bill of materials in two forms, and SLSA provenance.

Sources: CycloneDX 1.6; SPDX 2.3; in-toto Statement v1 with the SLSA provenance v1 predicate. Nothing here knows a clock
or a host: the same image over the same base has the same documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from dynamo_build.errors import UsageError
from dynamo_build.model.image import ImagePlan, PackagesLayer, WheelLayer
from dynamo_build.model.report import ImageReport, LayerReport, Part
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.packages.base_labels import list_provided_packages

CYCLONEDX = "application/vnd.cyclonedx+json"
SPDX = "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"
_CREATED = "1980-01-01T00:00:00Z"
BUILD_TYPE = "https://dynamo-build.dev/image/v1"


def build_image_sbom(form: str, image: OciImage, report: ImageReport) -> tuple[str, dict[str, Any]]:
    """The media type and the bill of materials of an image, `cyclonedx` or `spdx`. Raises UsageError."""
    packages = _list_packages(image, report)
    if form == "cyclonedx":
        return CYCLONEDX, _build_cyclonedx(report, packages)
    if form == "spdx":
        return SPDX, _build_spdx(report, packages)
    raise UsageError(f"unknown form of bill of materials `{form}`", ["Use cyclonedx or spdx."])


def build_provenance(image: OciImage, report: ImageReport) -> dict[str, Any]:
    """How the image was made: from which bento, over which base, with what packages and by which compressor."""
    labels = image.labels
    parameters = {
        "bento": report.bento,
        "graph": labels.get("dynamo.graph", ""),
        "lock": labels.get("dynamo.lock", ""),
        "platform": report.platform,
    }
    dependencies = [
        {"uri": format_part_purl(part), "annotations": {"layer": layer}} for layer, part in _list_own_packages(report)
    ]
    if report.base:
        algorithm, _, value = report.base.partition(":")
        dependencies.insert(0, {"uri": "base", "digest": {algorithm: value}})
    revision = labels.get("org.opencontainers.image.revision", "")
    if revision:
        dependencies.append(
            {"uri": labels.get("org.opencontainers.image.source", "git"), "digest": {"gitCommit": revision}}
        )
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": report.bento or "image", "digest": {"sha256": report.digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": {"compressor": report.compressor, "bytecode": report.bytecode},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": f"{BUILD_TYPE}#oci"}, "metadata": {}},
        },
    }


def add_planned_packages(plan: ImagePlan, report: ImageReport) -> ImageReport:
    """The report with the packages that the plan put into the image, for when its layers are not to be read again."""
    found = [
        Part(name=package.name, version=package.version, size=0, files=0)
        for layer in plan.layers
        if isinstance(layer, PackagesLayer)
        for package in layer.packages
    ]
    for layer in plan.layers:
        if isinstance(layer, WheelLayer):
            name, version = layer.wheel.rpartition("/")[2].split("-")[:2]
            found.append(Part(name=name.replace("_", "-"), version=version, size=0, files=0))
    own = LayerReport(digest=report.config_digest, diff_id="", size=report.own, name="plan", parts=tuple(found))
    return replace(report, layers=(own,))


def format_part_purl(part: Part) -> str:
    """The package URL of a package in a layer."""
    return f"pkg:pypi/{quote(part.name, safe='')}@{quote(part.version, safe='')}"


def _list_own_packages(report: ImageReport) -> list[tuple[str, Part]]:
    return sorted(
        ((layer.digest, part) for layer in report.layers for part in layer.parts if part.version),
        key=lambda item: (item[1].name, item[1].version),
    )


def _list_packages(image: OciImage, report: ImageReport) -> list[tuple[Part, str]]:
    """Packages and where they come from: the digest of a layer, or the base that says that it has them."""
    found = [(part, layer) for layer, part in _list_own_packages(report)]
    seen = {part.name for part, _ in found}
    brought = list_provided_packages(image.labels)
    found += [
        (Part(name=name, version=version, size=0, files=0), "base")
        for name, version in brought.items()
        if name not in seen
    ]
    return sorted(found, key=lambda item: (item[0].name, item[0].version))


def _build_cyclonedx(report: ImageReport, packages: Sequence[tuple[Part, str]]) -> dict[str, Any]:
    components = [
        {
            "type": "library",
            "bom-ref": format_part_purl(part),
            "name": part.name,
            "version": part.version,
            "purl": format_part_purl(part),
            "properties": [{"name": "dynamo:layer", "value": layer}],
        }
        for part, layer in packages
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": report.digest,
                "name": report.bento or report.reference,
                "version": report.digest,
                "properties": _build_properties(report),
            }
        },
        "components": components,
        "dependencies": [{"ref": report.digest, "dependsOn": sorted(item["bom-ref"] for item in components)}],
    }


def _build_properties(report: ImageReport) -> list[dict[str, str]]:
    said: Mapping[str, str] = {"base": report.base, "platform": report.platform, "python": report.python}
    return [{"name": f"dynamo:{name}", "value": value} for name, value in said.items() if value]


def _build_spdx(report: ImageReport, packages: Sequence[tuple[Part, str]]) -> dict[str, Any]:
    root = "SPDXRef-image"
    items = [
        {
            "SPDXID": f"SPDXRef-package-{number}",
            "name": part.name,
            "versionInfo": part.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": format_part_purl(part),
                }
            ],
        }
        for number, (part, _) in enumerate(packages, 1)
    ]
    image = {
        "SPDXID": root,
        "name": report.bento or report.reference,
        "versionInfo": report.digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": report.digest.removeprefix("sha256:")}],
    }
    links = [
        {"spdxElementId": root, "relationshipType": "CONTAINS", "relatedSpdxElement": item["SPDXID"]} for item in items
    ]
    described = {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": root}
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": report.bento or report.reference,
        "documentNamespace": f"https://dynamo-build.dev/spdx/{report.digest.replace(':', '-')}",
        "creationInfo": {"created": _CREATED, "creators": ["Tool: dynamo-build"]},
        "packages": [image, *items],
        "relationships": [described, *links],
    }


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The bytes under which a document is attached."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
