"""Signatures, documents and copies: what goes with an image, in a folder and in a registry."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.events import ignore
from dynamo_build.image import signatures
from dynamo_build.image.attestations import (
    CYCLONEDX,
    IN_TOTO,
    SPDX,
    build_image_sbom,
    build_provenance,
    encode_document,
)
from dynamo_build.image.copy import copy_image
from dynamo_build.image.image_report import build_report
from dynamo_build.image.referrers import attach_document, derive_tag
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings
from support import handmade, registry
from support.referrers import attached

INFO = "app/packages/alpha-1.0.dist-info"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one.pem`, `one.pub`, `two.pem`, `two.pub`, made as the hint says."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        make = [
            "openssl",
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            f"{folder}/{name}.pem",
        ]
        subprocess.run(make, check=True, capture_output=True)
        subprocess.run(
            ["openssl", "pkey", "-in", f"{folder}/{name}.pem", "-pubout", "-out", f"{folder}/{name}.pub"], check=True
        )
    return folder


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return catalog.default_surroundings({}, tmp_path / "cache")


@pytest.fixture(params=["folder", "registry"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageReference]:
    if request.param == "folder":
        yield ImageReference.parse(f"oci:{tmp_path}/images:v1")
        return
    with registry.running() as (host, _):
        yield ImageReference.parse(f"{host}/team/app:v1")


@pytest.fixture
def image() -> OciImage:
    record = b"alpha/__init__.py,,\nalpha-1.0.dist-info/RECORD,,\n"
    entries = [Entry(path="app/packages/alpha/__init__.py", content=b"1"), Entry(path=f"{INFO}/RECORD", content=record)]
    labels = {
        "dynamo.bento": "hello:abc",
        "dynamo.packages": json.dumps([{"name": "torch", "version": "2.5.1"}]),
        "org.opencontainers.image.base.digest": "sha256:" + "b" * 64,
        "org.opencontainers.image.revision": "c" * 40,
    }
    return handmade.image(labels=labels).with_layers([handmade.packed(entries, "packages: alpha")])


@pytest.fixture
def pushed(place: ImageReference, image: OciImage, around: Surroundings) -> ImageReference:
    around.registry(place).push(image, (place,), ignore)
    return place


def test_signed_and_verified(pushed: ImageReference, image: OciImage, around: Surroundings, keys: Path) -> None:
    """By its owner's key and no other; signing again by someone else keeps both."""
    found = around.registry(pushed)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        signatures.verify_image(pushed, keys / "none.pub", found)
    with pytest.raises(RegistryError, match="it has no signature"):
        signatures.verify_image(pushed, keys / "one.pub", found)
    digest, where = signatures.sign_image(pushed, keys / "one.pem", found)
    assert digest == image.digest and where.endswith(f":{image.digest.replace(':', '-')}.sig")
    assert (
        signatures.verify_image(
            pushed, keys / "one.pub", catalog.default_surroundings({}, around.cache).registry(pushed)
        )
        == image.digest
    )
    with pytest.raises(RegistryError, match="none of its 1 signatures fits"):
        signatures.verify_image(pushed, keys / "two.pub", found)


def test_the_form_is_cosigns(
    pushed: ImageReference, image: OciImage, around: Surroundings, keys: Path, tmp_path: Path
) -> None:
    """The payload, its media type, the annotation and the tag; openssl alone can check it."""
    signatures.sign_image(pushed, keys / "one.pem", around.registry(pushed))
    fresh = catalog.default_surroundings({}, around.cache).registry(pushed)
    manifest = json.loads(fresh.document(derive_tag(pushed, image.digest, "sig")))
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    payload = fresh.blob(pushed, layer["digest"], layer["size"]).read()
    critical = json.loads(payload)["critical"]
    assert critical["image"] == {"docker-manifest-digest": image.digest}
    assert critical["type"] == "cosign container image signature"
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
    check = [
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        f"{keys}/one.pub",
        "-signature",
        f"{tmp_path}/signature",
        f"{tmp_path}/payload",
    ]
    assert subprocess.run(check, capture_output=True, text=True).stdout.strip() == "Verified OK"


def test_a_signature_is_for_one_image(
    pushed: ImageReference, image: OciImage, around: Surroundings, keys: Path
) -> None:
    """Put beside another image, it does not count; nor does one that was tampered with."""
    found = around.registry(pushed)
    signatures.sign_image(pushed, keys / "one.pem", found)
    other = image.with_config({"User": "0"})
    elsewhere = pushed.with_tag("other")
    found.push(other, (elsewhere,), ignore)
    from dynamo_build.image.copy import _copy_manifest

    _copy_manifest(
        derive_tag(pushed, image.digest, "sig"), derive_tag(pushed, other.digest, "sig"), found, found, ignore
    )
    with pytest.raises(RegistryError, match="is not signed"):
        signatures.verify_image(elsewhere, keys / "one.pub", found)


def test_keys_that_are_none(pushed: ImageReference, around: Surroundings, keys: Path, tmp_path: Path) -> None:
    """Each is one line with what to do; nothing is pushed."""
    found = around.registry(pushed)
    (tmp_path / "text").write_text("nonsense")
    (tmp_path / "cosign").write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-out", f"{tmp_path}/rsa"], check=True, capture_output=True
    )
    lock = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        f"{keys}/one.pem",
        "-out",
        f"{tmp_path}/locked",
        "-passout",
        "pass:open",
    ]
    subprocess.run(lock, check=True)
    for name, said in (
        ("missing", "cannot be read"),
        ("text", "not a key in PEM"),
        ("cosign", "own encrypted form"),
        ("rsa", "not a key over P-256"),
        ("locked", "password"),
    ):
        with pytest.raises(UsageError, match=said) as refused:
            signatures.sign_image(pushed, tmp_path / name, found)
        assert refused.value.hints
    signatures.sign_image(pushed, tmp_path / "locked", found, "open")
    assert signatures.verify_image(pushed, keys / "one.pub", found)


def test_documents_beside_an_image(pushed: ImageReference, image: OciImage, around: Surroundings) -> None:
    """Each kind once, listed under the image's digest with the image as its subject; attaching again replaces it."""
    found = around.registry(pushed)
    exact = pushed.with_digest(image.digest)
    for content, kind, suffix in ((b"{}", CYCLONEDX, "sbom"), (b"[]", IN_TOTO, "att"), (b'{"a":1}', CYCLONEDX, "sbom")):
        attach_document(exact, content, kind, suffix, catalog.default_surroundings({}, around.cache).registry(pushed))
    fresh = catalog.default_surroundings({}, around.cache).registry(pushed)
    assert {(item.kind, item.content) for item in attached(exact, fresh)} == {(CYCLONEDX, b'{"a":1}'), (IN_TOTO, b"[]")}
    assert [item.content for item in attached(exact, fresh, IN_TOTO)] == [b"[]"]
    manifest = json.loads(fresh.document(derive_tag(pushed, image.digest, "sbom")))
    assert manifest["subject"]["digest"] == image.digest and manifest["artifactType"] == CYCLONEDX
    assert attached(pushed.with_tag("v1"), found) != () and found.pull(pushed, "linux/amd64").digest == image.digest


def test_a_copy_has_everything(
    pushed: ImageReference, image: OciImage, around: Surroundings, keys: Path, tmp_path: Path
) -> None:
    """The digest, the signature and the documents."""
    signatures.sign_image(pushed, keys / "one.pem", around.registry(pushed))
    attach_document(pushed.with_digest(image.digest), b"{}", SPDX, "spdx", around.registry(pushed))
    to = ImageReference.parse(f"oci:{tmp_path}/copy:v7")
    assert copy_image(pushed, to, catalog.default_surroundings({}, around.cache)) == image.digest
    there = around.registry(to)
    assert there.pull(to, "linux/amd64").manifest == image.manifest
    assert signatures.verify_image(to, keys / "one.pub", there) == image.digest
    assert [item.kind for item in attached(to, there)] == [SPDX]


def test_a_copy_of_an_index(place: ImageReference, around: Surroundings, tmp_path: Path) -> None:
    """All platforms, under the index's own digest."""
    found = around.registry(place)
    entries = []
    for platform in ("linux/amd64", "linux/arm64"):
        image = handmade.image(platform=platform)
        found.push(image, (place.with_tag(platform.partition("/")[2]),), ignore)
        system, _, architecture = platform.partition("/")
        entries.append(
            {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.manifest),
                "platform": {"os": system, "architecture": architecture},
            }
        )
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    ).encode()
    digest = str(found.push_index(index, (place,), ignore))
    with registry.running() as (host, content):
        to = ImageReference.parse(f"{host}/mirror/app:v1")
        assert copy_image(place, to, around) == digest
        assert content.manifests["mirror/app", "v1"][1] == index
        assert around.registry(to).pull(to, "linux/arm64").platform == "linux/arm64"


def test_bills_of_materials(image: OciImage) -> None:
    """Packages of layers and of the base, in both forms; the same bytes each time."""
    found = build_report(image, "here")
    kind, document = build_image_sbom("cyclonedx", image, found)
    assert kind == CYCLONEDX and encode_document(document) == encode_document(
        build_image_sbom("cyclonedx", image, found)[1]
    )
    assert [(item["purl"], item["properties"][0]["value"]) for item in document["components"]] == [
        ("pkg:pypi/alpha@1.0", image.layers[-1].digest),
        ("pkg:pypi/torch@2.5.1", "base"),
    ]
    kind, document = build_image_sbom("spdx", image, found)
    assert kind == SPDX and [item["name"] for item in document["packages"]] == ["hello:abc", "alpha", "torch"]
    names = {item["SPDXID"] for item in document["packages"]} | {"SPDXRef-DOCUMENT"}
    assert all({link["spdxElementId"], link["relatedSpdxElement"]} <= names for link in document["relationships"])
    with pytest.raises(UsageError, match="unknown form of bill"):
        build_image_sbom("csv", image, found)


def test_how_it_was_made(image: OciImage) -> None:
    """A statement about this digest: bento, base, packages, compressor; no time, no host."""
    said = build_provenance(image, build_report(image, "here"))
    assert said["subject"] == [{"name": "hello:abc", "digest": {"sha256": image.digest.removeprefix("sha256:")}}]
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = said["predicate"]["buildDefinition"]
    uris = [item["uri"] for item in definition["resolvedDependencies"]]
    assert uris == ["base", "pkg:pypi/alpha@1.0", "git"]
    assert definition["externalParameters"]["bento"] == "hello:abc"
