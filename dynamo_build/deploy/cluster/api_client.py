"""A connection to an API server by the user's kubeconfig: one request in, one answer out, with patience."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dynamo_build.deploy.cluster.answer import Answer, build_answer_error, parse_answer
from dynamo_build.errors import DeployError, ToolMissing

_ATTEMPTS = 5
_TIMEOUT = 30.0
_CONNECT = 10.0
_LONGEST_PAUSE = 30.0
#: Seconds after which a server that says nothing at all is given up.
_PATIENCE = 60.0
PAGE = "500"
_MOST_PAGES = 10_000
APPLY_PATCH = "application/apply-patch+yaml"

_DEFAULT_KUBECONFIG = "~/.kube/config"


class Unreachable(DeployError):
    """The API server gives no answer. Asking later may help."""


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
                # The client reads the default once, when it is imported; ours is that of the moment.
                config_file=kubeconfig or _DEFAULT_KUBECONFIG,
                context=context or None,
                client_configuration=configuration,
            )
        except config.ConfigException as error:
            self._load_incluster_config(config, configuration, str(error))
        except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DeployError(
                f"the kubeconfig cannot be read: {error}", ["Set KUBECONFIG to a readable file."]
            ) from error
        self.host = str(configuration.host)
        self._configuration = configuration
        self._client = client.ApiClient(configuration)

    @staticmethod
    def _load_incluster_config(config: Any, configuration: Any, seen: str) -> None:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            hint = "Set KUBECONFIG, or choose a --context; only rendering manifests needs no cluster."
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
        pause, begun = 0.5, time.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._send_once(method, path, query or {}, body, kind)
            except self._failures as error:
                spent = attempt == _ATTEMPTS or time.monotonic() - begun > _PATIENCE
                if spent or (method == "POST" and "Connect" not in type(error).__name__):
                    raise self._build_unreachable(error) from error
            else:
                if not answer.is_temporary or attempt == _ATTEMPTS:
                    return answer
                pause = answer.retry_after if answer.retry_after is not None else pause
            self._sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("unreachable")

    def get_version(self) -> str:
        """The server's version, such as `v1.36.2`. Raises DeployError."""
        answer = self.request("GET", "/version")
        if not answer.is_ok:
            raise build_answer_error(answer, "the version of the cluster")
        return str(answer.body.get("gitVersion", "")) if isinstance(answer.body, Mapping) else ""

    def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        """The body of a GET; None when there is no such object. Raises DeployError."""
        answer = self.request("GET", path, query=query)
        if answer.status == 404:
            return None
        if not answer.is_ok:
            raise build_answer_error(answer, path.rsplit("/", 1)[-1])
        return answer.body

    def list_items(self, path: str, selector: str = "", fields: str = "") -> tuple[Mapping[str, Any], ...]:
        """The objects of a collection; none when the kind is not served. Raises DeployError.

        They come in pages. A page that the server no longer remembers (410) means that the list is begun again.
        """
        first = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        first |= {"fieldSelector": fields} if fields else {}
        query, found = dict(first), list[Mapping[str, Any]]()
        for _ in range(_MOST_PAGES):
            answer = self.request("GET", path, query=query)
            if answer.status == 404:
                return ()
            if answer.status == 410 and "continue" in query:
                query, found = dict(first), []
                continue
            if not answer.is_ok:
                raise build_answer_error(answer, path.rsplit("/", 1)[-1])
            found += answer.body.get("items") or ()
            token = (answer.body.get("metadata") or {}).get("continue")
            if not token:
                return tuple(found)
            query["continue"] = token
        raise DeployError(f"the list {path} does not end", ["Ask again."])

    def stream_lines(self, path: str, query: Mapping[str, str]) -> Iterator[str]:
        """The lines of an answer as they come, such as those of a log that is followed. Raises DeployError."""
        try:
            response = self._call_client("GET", path, query, None, "application/json", None)
            if not 200 <= response.status < 300:
                raise build_answer_error(
                    parse_answer(response.status, response.read(), dict(response.headers)), path.rsplit("/", 2)[-2]
                )
            rest = b""
            for chunk in response.response.stream(amt=None, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            if rest:
                yield rest.decode("utf-8", "replace")
        except self._failures as error:
            raise self._build_unreachable(error) from error

    def open_tunnel(self, namespace: str, pod: str, port: int) -> Any:
        """A socket to a port of a pod, through the API server. Raises DeployError."""
        import websocket
        from kubernetes import client, stream

        # A client of its own: the stream changes it while it connects.
        interface = client.CoreV1Api(client.ApiClient(self._configuration))
        asked = interface.connect_get_namespaced_pod_portforward
        try:
            return stream.portforward(asked, pod, namespace, ports=str(port)).socket(port)
        except client.ApiException as error:
            text = str(getattr(error, "reason", "") or error)
            status = re.search(r"status (\d{3})", text)
            raise build_answer_error(
                parse_answer(int(status[1]) if status else 500, text.encode(), {}), f"Pod/{pod}"
            ) from error
        except (OSError, websocket.WebSocketException) as error:
            raise self._build_unreachable(error) from error

    def _send_once(self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str) -> Answer:
        response = self._call_client(method, path, query, body, kind, self._timeout)
        try:
            data = response.read()
        finally:
            response.response.release_conn()
        return parse_answer(response.status, data, dict(response.headers))

    def _call_client(
        self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str, timeout: float | None
    ) -> Any:
        serialized = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Content-Type": kind, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._client.call_api(*serialized, _request_timeout=(min(_CONNECT, self._timeout), timeout))

    def _build_unreachable(self, error: Exception) -> Unreachable:
        hint = "Check the address in the kubeconfig, and that the API server runs."
        return Unreachable(f"no answer from the cluster at {self.host}: {_shorten_error(error)}", [hint])


def _shorten_error(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    text = " ".join(str(reason if reason else error).split())
    return text.rpartition("): ")[2] or text
