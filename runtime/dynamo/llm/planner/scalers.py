"""Ways to change the number of a service's workers: none, the supervisor on this host, or Kubernetes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dynamo.sdk import running

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_SECONDS = 20.0


class CannotScale(Exception):
    """The number of workers was not changed: why."""


class Scaler(Protocol):
    """Changes how many workers a service has."""

    async def scale(self, service: str, workers: int) -> None:
        """Have that many. Raises CannotScale."""


class NoScaler:
    """A dry run: what was decided is in the log, and that is all."""

    async def scale(self, service: str, workers: int) -> None:
        """Nothing."""


class SupervisorScaler:
    """`dynamo serve` on this host, by its control socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_this_worker(cls, environment: Mapping[str, str] | None = None) -> SupervisorScaler:
        """The supervisor that started this process."""
        folder = running.locate_folder(os.environ if environment is None else environment)
        return cls(folder / f"{os.getppid()}{running.CONTROL}")

    async def scale(self, service: str, workers: int) -> None:
        """Have that many. Raises CannotScale."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                request = {"do": "scale", "service": service, "workers": workers}
                writer.write(json.dumps(request).encode() + b"\n")
                answer = (await reader.read()).decode(errors="replace").strip()
                writer.close()
        except (OSError, TimeoutError) as error:
            raise CannotScale(f"no supervisor answers at its control socket: {error}") from error
        if answer.startswith("error"):
            raise CannotScale(answer)


def _format_label(service: str) -> str:
    humps = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    return re.sub(humps, "-", service).replace("_", "-").lower()


class KubernetesScaler:
    """The scale subresource of the service's Deployment, with the pod's own account.

    `names` are the Deployments of services; others are called as the toolchain calls them: `prefix` and the service
    in lower case, `VllmWorker` as `vllm-worker`.
    """

    def __init__(
        self,
        *,
        address: str = "",
        prefix: str = "",
        names: Mapping[str, str] | None = None,
        account: Path = ACCOUNT,
    ) -> None:
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        shown = f"[{host}]" if ":" in host else host
        self._address = address or f"https://{shown}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        self._prefix = prefix
        self._names = dict(names or {})
        self._account = account

    async def scale(self, service: str, workers: int) -> None:
        """Have that many. Raises CannotScale."""
        await asyncio.to_thread(
            self._patch_scale, self._names.get(service, self._prefix + _format_label(service)), workers
        )

    def _patch_scale(self, name: str, workers: int) -> None:
        try:
            token = (self._account / "token").read_text(encoding="ascii").strip()
            namespace = (self._account / "namespace").read_text(encoding="utf-8").strip()
            authority = self._account / "ca.crt"
            trust = ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
        except (OSError, ValueError) as error:
            raise CannotScale(f"this pod has no account to scale with: {error}") from error
        body: dict[str, Any] = {"spec": {"replicas": workers}}
        request = urllib.request.Request(
            f"{self._address}/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
            method="PATCH",
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=trust):
                return
        except urllib.error.HTTPError as error:
            text = error.read(300).decode(errors="replace")
            raise CannotScale(f"the cluster refuses to scale {name}: {error.code} {text}") from error
        except (OSError, ValueError) as error:
            raise CannotScale(f"the cluster cannot be reached: {error}") from error
