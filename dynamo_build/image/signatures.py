"""Signatures of images in cosign's format, beside the image in its repository.

Source: cosign's signature specification: an OCI manifest under the tag `sha256-….sig` whose layers are simple signing
payloads (the containers/image "atomic signature" JSON), each with its signature in an annotation. Keys are local:
ECDSA over P-256 with SHA-256; `cryptography` is loaded here and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo_build.errors import RegistryError, ToolMissing, UsageError
from dynamo_build.events import Listener, ignore
from dynamo_build.image.referrers import derive_tag, make_document_layer, read_document_blob
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Registry

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


def sign_image(
    image: ImageReference, key: Path, registry: Registry, password: str = "", on: Listener = ignore
) -> tuple[str, str]:
    """Sign what the reference points to now. Gives the digest and where the signature is.

    Signatures that are there already stay. Raises UsageError for the key, RegistryError.
    """
    digest = str(registry.resolve(image))
    payload = codec.encode_canonical(
        {
            "critical": {
                "identity": {"docker-reference": _format_identity(image)},
                "image": {"docker-manifest-digest": digest},
                "type": _TYPE,
            },
            "optional": None,
        }
    )
    signature = base64.b64encode(_sign_content(payload, key, password)).decode()
    to = derive_tag(image, digest, "sig")
    kept = [(entry, content) for entry, content in _read_signatures(to, registry) if content != payload]
    added = make_document_layer(payload, PAYLOAD)
    entry = {
        "mediaType": PAYLOAD,
        "digest": added.digest,
        "size": added.size,
        "annotations": {SIGNATURE: signature},
    }
    layers = [*(make_document_layer(content, PAYLOAD) for _, content in kept), added]
    config = codec.encode_canonical(
        {
            "architecture": "",
            "config": {},
            "created": "0001-01-01T00:00:00Z",
            "history": [{"created": "0001-01-01T00:00:00Z"} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [item.digest for item in layers]},
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "config": {"mediaType": documents.CONFIG, "digest": documents.digest_of(config), "size": len(config)},
        "layers": [*(dict(entry) for entry, _ in kept), entry],
    }
    registry.push(OciImage(manifest=codec.encode_canonical(manifest), config=config, layers=tuple(layers)), (to,), on)
    return digest, str(to)


def verify_image(image: ImageReference, key: Path, registry: Registry) -> str:
    """The digest of the image, if a signature by this key's owner is there for it.

    Raises RegistryError where there is none, UsageError for the key.
    """
    fits = _load_verifier(key)
    digest = str(registry.resolve(image))
    found = _read_signatures(derive_tag(image, digest, "sig"), registry)
    for entry, payload in found:
        said = documents.parse_document(payload, f"a signature of {image}")
        critical = said.get("critical")
        if not isinstance(critical, dict) or critical.get("type") != _TYPE:
            continue
        named = critical.get("image")
        if not isinstance(named, dict) or named.get("docker-manifest-digest") != digest:
            continue
        annotations = entry.get("annotations")
        text = str(annotations.get(SIGNATURE, "")) if isinstance(annotations, dict) else ""
        try:
            signature = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
        if fits(payload, signature):
            return digest
    seen = f"none of its {len(found)} signatures fits" if found else "it has no signature"
    raise RegistryError(
        f"`{image}` is not signed by the owner of `{key.name}`: {seen}", ["Sign it with `dynamo image sign`."]
    )


def _format_identity(image: ImageReference) -> str:
    return image.repository if image.host != LAYOUT else Path(image.folder).name


def _read_signatures(where: ImageReference, registry: Registry) -> list[tuple[Mapping[str, Any], bytes]]:
    try:
        manifest = documents.parse_document(registry.document(where), f"the signatures of {where}")
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    entries = manifest.get("layers")
    wanted = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [
        (entry, read_document_blob(where, entry, registry)) for entry in wanted if entry.get("mediaType") == PAYLOAD
    ]


_MAKE = "Make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`."


def _sign_content(content: bytes, key: Path, password: str = "") -> bytes:
    """The signature in DER. Raises UsageError for a key that is not over P-256, ToolMissing for the library."""
    private = _load_key(key, "load_pem_private_key", password.encode() or None)
    ec, hashes = _import_primitives("asymmetric.ec"), _import_primitives("hashes")
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise UsageError(f"`{key}` is not a key over P-256", [_MAKE])
    return bytes(private.sign(content, ec.ECDSA(hashes.SHA256())))


def _load_verifier(key: Path) -> Callable[[bytes, bytes], bool]:
    """Whether the signature of a content was made by the owner of the public key, as a function of the content and the
    signature. Raises as `_sign_content`.
    """
    public = _load_key(key, "load_pem_public_key")
    ec, hashes = _import_primitives("asymmetric.ec"), _import_primitives("hashes")
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise UsageError(f"`{key}` is not a public key over an elliptic curve", [_public_hint()])

    def fits(content: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        except importlib.import_module("cryptography.exceptions").InvalidSignature:
            return False
        return True

    return fits


def _load_key(key: Path, loader: str, *more: Any) -> Any:
    serialization = _import_primitives("serialization")
    try:
        content = key.read_bytes()
    except OSError as error:
        hint = _MAKE if "private" in loader else _public_hint()
        raise UsageError(f"`{key}` cannot be read: {error.strerror or error}", [hint]) from error
    if b"ENCRYPTED COSIGN" in content or b"ENCRYPTED SIGSTORE" in content:
        raise UsageError(
            f"`{key}` is in cosign's own encrypted form",
            ["Give the key as PEM, with DYNAMO_KEY_PASSWORD for its password."],
        )
    try:
        return getattr(serialization, loader)(content, *more)
    except TypeError as error:
        raise UsageError(f"the password of `{key}` is missing or not wanted", ["Set DYNAMO_KEY_PASSWORD."]) from error
    except ValueError as error:
        hint = _MAKE if "private" in loader else _public_hint()
        raise UsageError(f"`{key}` is not a key in PEM, or the password is wrong", [hint]) from error


def _public_hint() -> str:
    return "Write it with `openssl pkey -in key.pem -pubout -out key.pub`."


def _import_primitives(name: str) -> Any:
    try:
        return importlib.import_module(f"cryptography.hazmat.primitives.{name}")
    except ImportError:
        raise ToolMissing(
            "signatures need the package `cryptography`", ["Install it: `pip install cryptography`."]
        ) from None
