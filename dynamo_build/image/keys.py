"""Signatures with a local key: ECDSA over P-256 with SHA-256, as cosign makes and reads them.

The library for it is loaded here and nowhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dynamo_build.errors import ToolMissing, UsageError

_MAKE = "Make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`."


def sign(content: bytes, key: Path, password: str = "") -> bytes:
    """The signature in DER. Raises UsageError for a key that is none of ours, ToolMissing for the library."""
    private = _loaded(key, "load_pem_private_key", password.encode() or None)
    ec, hashes = _library("asymmetric.ec"), _library("hashes")
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise UsageError(f"`{key}` is not a key over P-256", [_MAKE])
    return bytes(private.sign(content, ec.ECDSA(hashes.SHA256())))


def verifier(key: Path) -> Callable[[bytes, bytes], bool]:
    """Whether the signature of a content was made by the owner of the public key, as a function of the content and the
    signature. Raises as `sign`.
    """
    public = _loaded(key, "load_pem_public_key")
    ec, hashes = _library("asymmetric.ec"), _library("hashes")
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise UsageError(f"`{key}` is not a public key over an elliptic curve", [_public_hint()])

    def fits(content: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        except importlib.import_module("cryptography.exceptions").InvalidSignature:
            return False
        return True

    return fits


def _loaded(key: Path, loader: str, *more: Any) -> Any:
    serialization = _library("serialization")
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


def _library(name: str) -> Any:
    try:
        return importlib.import_module(f"cryptography.hazmat.primitives.{name}")
    except ImportError:
        raise ToolMissing(
            "signatures need the package `cryptography`", ["Install it: `pip install cryptography`."]
        ) from None
