"""Whether a registry takes a user's credentials, before anything is pushed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dynamo_build.registries.credentials import Credentials
from dynamo_build.registries.http.client import Client


def login(host: str, credentials: Credentials, environment: Mapping[str, str], insecure: tuple[str, ...] = ()) -> None:
    """Ask the registry. Raises RegistryError when it refuses them, or is not there.

    Source: OCI distribution spec, end-1: `GET /v2/` answers 200 to who may come in.
    """
    entry = {"auth": credentials.basic.removeprefix("Basic ")}
    around = {**environment, "DOCKER_AUTH_CONFIG": json.dumps({"auths": {host: entry}})}
    client = Client(host, around, insecure)
    try:
        client.request("GET", "/v2/", what="its front door")
    finally:
        client.connections.close()
