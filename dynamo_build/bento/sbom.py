"""A CycloneDX bill of materials of a bento; the same bento gives the same bytes.

Sources: CycloneDX 1.6 JSON; package URL specification, type `pypi`. It holds no time and no tool, since both would
differ between builds; the serial number is a name-based UUID (RFC 9562 section 5.5) of the bento's identity.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dynamo_build.bento.store import identity
from dynamo_build.model.bento import BentoManifest
from dynamo_build.model.plan import LockedPackage
from dynamo_build.packages.runtime_wheel import DISTRIBUTION

NAME = "env/sbom.cdx.json"


def sbom(manifest: BentoManifest) -> dict[str, Any]:
    """The bill of materials of a bento: its packages for all platforms, and the runtime that it brings."""
    components: dict[str, dict[str, Any]] = {}
    for platform in sorted(manifest.lock.packages):
        for package in manifest.lock.packages[platform]:
            reference = purl(package)
            entry = components.setdefault(reference, _component(package, reference))
            entry["properties"].insert(0, {"name": "dynamo:platform", "value": platform})
    runtime = _runtime(manifest)
    components[runtime["bom-ref"]] = runtime
    ordered = [components[reference] for reference in sorted(components)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_serial(identity(manifest))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": manifest.tag,
                "name": manifest.name,
                "version": manifest.version,
                "properties": [{"name": "dynamo:python", "value": manifest.python}],
            }
        },
        "components": ordered,
        "dependencies": [{"ref": manifest.tag, "dependsOn": sorted(components)}],
    }


def purl(package: LockedPackage) -> str:
    """The package URL of a locked package; one from a repository carries its address and commit."""
    name = f"pkg:pypi/{quote(package.name, safe='')}"
    if package.source:
        return f"{name}?vcs_url={quote(package.source, safe='')}"
    return f"{name}@{quote(package.version, safe='')}"


def _component(package: LockedPackage, reference: str) -> dict[str, Any]:
    """Several files would do for a package, so their digests are properties and not the component's own."""
    properties = [{"name": "dynamo:file", "value": value} for value in package.hashes]
    if package.marker:
        properties.insert(0, {"name": "dynamo:marker", "value": package.marker})
    version = {"version": package.version} if package.version else {}
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        **version,
        "purl": reference,
        "properties": properties,
    }


def _runtime(manifest: BentoManifest) -> dict[str, Any]:
    version = manifest.runtime.split("-")[1]
    reference = f"pkg:pypi/{DISTRIBUTION}@{quote(version, safe='')}"
    digest = manifest.runtime_digest.removeprefix("sha256:")
    return {
        "type": "library",
        "bom-ref": reference,
        "name": DISTRIBUTION,
        "version": version,
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _serial(digest: str) -> str:
    raw = digest.removeprefix("sha256:")
    variant = "89ab"[int(raw[16], 16) & 3]
    return f"{raw[:8]}-{raw[8:12]}-5{raw[13:16]}-{variant}{raw[17:20]}-{raw[20:32]}"
