"""The page over HTTP: what it is allowed to do, and who may read it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
from collections.abc import Iterator

import pytest

from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo_build.errors import UsageError
from dynamo_build.local.page.server import Server, page
from dynamo_build.local.page.watch import State, Watch

GRAPH = ServiceGraph(target="app:<A>", entry="<A>", services=(ServiceSpec(name="<A>", module="app", qualname="A"),))


class Still(Watch):
    """A watch that does not look."""

    def __init__(self, state: State) -> None:
        self.state = state


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of a page, with one worker in its state."""
    worker = {"worker": "<script>", "service": "<A>", "state": "ready", "pid": 1}
    made = Server("127.0.0.1", 0, *page(GRAPH), Still(State(workers=(worker,))))
    made.start()
    yield made
    made.stop()


def get(server: Server, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """An answer with its headers."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def test_the_policy_allows_what_the_page_holds_and_nothing_else(server: Server) -> None:
    """The hashes are those of the style and the script; nothing comes from another place."""
    status, headers, body = get(server, "/")
    assert status == 200
    text = body.decode()
    policy = headers["Content-Security-Policy"]
    for element in ("style", "script"):
        (held,) = re.findall(rf"(?s)<{element}>(.*?)</{element}>", text)
        digest = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.findall(r"(?:src|href)=", text)
    assert "<A>" not in text and "&lt;A&gt;" in text
    assert "innerHTML" not in text


def test_the_state_is_json(server: Server) -> None:
    """What the page reads, as the watch last saw it; 503 with the reason when the graph is gone."""
    status, _, body = get(server, "/state.json")
    assert status == 200 and json.loads(body)["workers"][0]["worker"] == "<script>"
    server.watch.state = State(error="it does not answer: gone")
    status, _, body = get(server, "/state.json")
    assert status == 503 and json.loads(body)["error"].endswith("gone")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", ""])
def test_other_host_names_are_refused(server: Server, host: str) -> None:
    """A site that makes its name point here reads nothing."""
    assert get(server, "/state.json", Host=host)[0] == 403
    assert get(server, "/state.json", Host="localhost:1")[0] == 200


def test_nothing_else_is_there_and_nothing_is_written(server: Server) -> None:
    """Other paths are 404, other methods 501."""
    assert get(server, "/../etc/passwd")[0] == 404
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=5)
    connection.request("POST", "/state.json", body=b"{}")
    assert connection.getresponse().status == 501
    connection.close()


def test_a_port_in_use_is_one_line(server: Server) -> None:
    """With the way out."""
    with pytest.raises(UsageError, match="cannot listen on 127"):
        Server("127.0.0.1", server.server_address[1], b"", "", server.watch)
