"""A connection to an API server by the user's kubeconfig: one request in, one answer out, with patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dynamo_build.cluster.answer import Answer, failure, parse
from dynamo_build.errors import DeployError, ToolMissing

_ATTEMPTS = 5
_TIMEOUT = 30.0
_LONGEST_PAUSE = 30.0
PAGE = "500"
APPLY_PATCH = "application/apply-patch+yaml"


class Connection:
    """Requests to one API server. Raises ToolMissing without the client, DeployError without a cluster."""

    def __init__(
        self,
        *,
        kubeconfig: str = "",
        context: str = "",
        timeout: float = _TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import urllib3
            import yaml
            from kubernetes import client, config
        except ImportError as error:
            hint = "Install it: pip install 'kubernetes>=37'."
            raise ToolMissing("the `kubernetes` package is not installed", [hint]) from error
        self._failures = (urllib3.exceptions.HTTPError, client.ApiException)
        self._timeout = timeout
        self._sleep = sleep
        configuration = client.Configuration()
        configuration.retries = False
        try:
            config.load_kube_config(
                config_file=kubeconfig or None, context=context or None, client_configuration=configuration
            )
        except config.ConfigException as error:
            self._inside(config, configuration, str(error))
        except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DeployError(
                f"the kubeconfig cannot be read: {error}", ["Set KUBECONFIG to a readable file."]
            ) from error
        self.host = str(configuration.host)
        self._client = client.ApiClient(configuration)

    @staticmethod
    def _inside(config: Any, configuration: Any, seen: str) -> None:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            hint = "Set KUBECONFIG, choose a --context, or leave out --apply to only render."
            raise DeployError(f"no cluster is configured: {' '.join(seen.split())}", [hint]) from None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        kind: str = "application/json",
    ) -> Answer:
        """One request. Temporary failures are retried with growing pauses, or as the server says."""
        pause = 0.5
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._once(method, path, query or {}, body, kind)
            except self._failures as error:
                if attempt == _ATTEMPTS or (method == "POST" and "Connect" not in type(error).__name__):
                    hint = "Check the address in the kubeconfig, and that the API server runs."
                    raise DeployError(f"no answer from the cluster at {self.host}: {_short(error)}", [hint]) from error
            else:
                if not answer.temporary or attempt == _ATTEMPTS:
                    return answer
                pause = answer.retry_after if answer.retry_after is not None else pause
            self._sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("unreachable")

    def version(self) -> str:
        """The server's version, such as `v1.36.2`. Raises DeployError."""
        answer = self.request("GET", "/version")
        if not answer.ok:
            raise failure(answer, "the version of the cluster")
        return str(answer.body.get("gitVersion", "")) if isinstance(answer.body, Mapping) else ""

    def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        """The body of a GET; None when there is no such object. Raises DeployError."""
        answer = self.request("GET", path, query=query)
        if answer.status == 404:
            return None
        if not answer.ok:
            raise failure(answer, path.rsplit("/", 1)[-1])
        return answer.body

    def items(self, path: str, selector: str = "") -> Iterator[Mapping[str, Any]]:
        """The objects of a collection, page by page; none when the kind is not served. Raises DeployError."""
        query = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        while True:
            listing = self.get(path, query=query)
            if listing is None:
                return
            yield from listing.get("items") or ()
            token = (listing.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def _once(self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str) -> Answer:
        headers = {"Content-Type": kind, "Accept": "application/json"}
        serialized = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._client.call_api(*serialized, _request_timeout=self._timeout)
        try:
            data = response.read()
        finally:
            response.response.release_conn()
        return parse(response.status, data, dict(response.headers))


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    text = " ".join(str(reason if reason else error).split())
    return text.rpartition("): ")[2] or text
