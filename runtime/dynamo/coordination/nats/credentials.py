"""Credentials for NATS from the environment, and how its server proves itself.

NATS_AUTH_USERNAME and NATS_AUTH_PASSWORD · NATS_AUTH_TOKEN · NATS_AUTH_NKEY (a seed) or NATS_AUTH_NKEY_FILE ·
NATS_AUTH_CREDENTIALS_FILE (a .creds file) · NATS_TLS_CA, and NATS_TLS_CERT with NATS_TLS_KEY where the server asks for
a certificate. A `tls://` address without NATS_TLS_CA trusts what this machine trusts.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Mapping
from typing import Any

from dynamo.sdk.errors import BadRequest

_ARGUMENTS = {
    "NATS_AUTH_USERNAME": "user",
    "NATS_AUTH_PASSWORD": "password",
    "NATS_AUTH_TOKEN": "token",
    "NATS_AUTH_NKEY": "nkeys_seed_str",
    "NATS_AUTH_NKEY_FILE": "nkeys_seed",
    "NATS_AUTH_CREDENTIALS_FILE": "user_credentials",
}
_SIGNED = ("NATS_AUTH_NKEY", "NATS_AUTH_NKEY_FILE", "NATS_AUTH_CREDENTIALS_FILE")
_FILES = ("NATS_AUTH_NKEY_FILE", "NATS_AUTH_CREDENTIALS_FILE")


def read_credentials(environment: Mapping[str, str]) -> dict[str, Any]:
    """The library's arguments. Raises BadRequest for files that cannot be read, and where `nkeys` is missing."""
    given = {name: environment[name] for name in _ARGUMENTS if environment.get(name)}
    signed = [name for name in _SIGNED if name in given]
    if signed and importlib.util.find_spec("nkeys") is None:
        raise BadRequest(f"{signed[0]} needs the package `nkeys`, which is not installed; add it to the requirements")
    for name in _FILES:
        if name in given:
            check_readable(name, given[name])
    login: dict[str, Any] = {_ARGUMENTS[name]: value for name, value in given.items()}
    if environment.get("NATS_TLS_CA") or environment.get("NATS_TLS_CERT"):
        login["tls"] = create_tls_context(environment, "NATS_TLS", ssl.Purpose.SERVER_AUTH)
    return login


def create_tls_context(environment: Mapping[str, str], prefix: str, purpose: ssl.Purpose) -> ssl.SSLContext:
    """A context from the files named by `<prefix>_CA`, `<prefix>_CERT` and `<prefix>_KEY`. Raises BadRequest."""
    authority, certificate = environment.get(f"{prefix}_CA", ""), environment.get(f"{prefix}_CERT", "")
    if authority:
        check_readable(f"{prefix}_CA", authority)
    try:
        context = ssl.create_default_context(purpose, cafile=authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            check_readable(f"{prefix}_CERT", certificate)
            context.load_cert_chain(certificate, environment.get(f"{prefix}_KEY") or None)
    except (OSError, ValueError) as error:
        raise BadRequest(f"the files of {prefix}_CA, {prefix}_CERT and {prefix}_KEY are of no use: {error}") from error
    return context


def check_readable(name: str, path: str) -> None:
    """Raises BadRequest, with the variable's name, for a file that cannot be read."""
    try:
        with open(path, "rb"):  # noqa: PTH123 - a look, not a read
            return
    except OSError as error:
        raise BadRequest(f"{name} is `{path}`: {error.strerror or error}") from error
