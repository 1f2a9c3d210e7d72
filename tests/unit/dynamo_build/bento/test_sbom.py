"""The bill of materials."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dynamo.sdk import codec
from dynamo_build.bento.sbom import build_sbom, format_purl
from dynamo_build.model.plan import LockedPackage
from support.handmade import bento


def test_packages_and_the_runtime_are_named(tmp_path: Path) -> None:
    """Every locked package with its platforms and digests; the runtime with its own."""
    manifest = bento(tmp_path, requirements="numpy==2.1.0\n").manifest
    hashes = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
    package = LockedPackage(name="numpy", version="2.1.0", hashes=hashes)
    lock = replace(manifest.lock, packages={"linux/arm64": (package,), "linux/amd64": (package,)})
    document = build_sbom(replace(manifest, lock=lock))
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    runtime, numpy = sorted(document["components"], key=lambda item: item["name"])
    assert numpy["purl"] == numpy["bom-ref"] == "pkg:pypi/numpy@2.1.0"
    assert sorted(item["value"] for item in numpy["properties"] if item["name"] == "dynamo:platform") == [
        "linux/amd64",
        "linux/arm64",
    ]
    assert [item["value"] for item in numpy["properties"] if item["name"] == "dynamo:file"] == list(hashes)
    assert runtime["hashes"] == [{"alg": "SHA-256", "content": manifest.runtime_digest.removeprefix("sha256:")}]
    assert document["dependencies"] == [{"ref": "hello:abc", "dependsOn": [runtime["bom-ref"], numpy["bom-ref"]]}]


def test_the_same_bento_gives_the_same_bytes(tmp_path: Path) -> None:
    """No time, no chance; another bento has another serial number, which is a UUID."""
    manifest = bento(tmp_path, requirements="numpy==2.1.0\n").manifest
    one = build_sbom(manifest)
    assert codec.encode_pretty(one) == codec.encode_pretty(build_sbom(manifest))
    assert json.loads(codec.encode_pretty(one)) == one
    other = build_sbom(replace(manifest, python="3.99"))
    assert other["serialNumber"] != one["serialNumber"]
    pattern = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(pattern, one["serialNumber"])


def test_it_fits_the_schema_of_cyclonedx(tmp_path: Path) -> None:
    """Of version 1.6, in its strict form."""
    manifest = bento(tmp_path, requirements="numpy==2.1.0\n").manifest
    packages = (
        LockedPackage(name="numpy", version="2.1.0+cu1", hashes=("sha256:" + "1" * 64,), marker="python_version > '3'"),
        LockedPackage(name="x", version="", source="git+https://example.com/x.git@" + "a" * 40),
    )
    document = build_sbom(replace(manifest, lock=replace(manifest.lock, packages={"linux/amd64": packages})))
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(codec.encode_pretty(document)) is None
    assert validator.validate_str(codec.encode_pretty({**document, "serialNumber": "7"})) is not None


def test_a_package_from_a_repository() -> None:
    """Its address and commit are in the package URL, escaped."""
    package = LockedPackage(name="x", version="", source="git+https://example.com/x.git@" + "a" * 40)
    assert format_purl(package) == "pkg:pypi/x?vcs_url=git%2Bhttps%3A%2F%2Fexample.com%2Fx.git%40" + "a" * 40
