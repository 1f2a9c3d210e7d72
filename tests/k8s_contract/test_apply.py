"""Server-side apply: owners, conflicts, removal, dry run, watch."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

from support.manifest_faults import good


def workload(server: Any) -> dict[str, Any]:
    found = next(
        item for item in good() if item["metadata"]["name"] == "llm-vllm-worker" and item["kind"] == "Deployment"
    )
    found["metadata"]["namespace"] = server.namespace
    return found


def config(server: Any, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": server.namespace},
        "data": data,
    }


def test_created_then_unchanged(server: Any) -> None:
    """201 first, 200 after; an apply that changes nothing keeps the resource version."""
    document = workload(server)
    assert server.apply(document).status == 201
    before = server.get(document)["metadata"]
    assert before["uid"] and before["generation"] == 1
    assert server.apply(document).status == 200
    assert server.get(document)["metadata"]["resourceVersion"] == before["resourceVersion"]


def test_a_change_raises_the_generation(server: Any) -> None:
    """Of the spec only."""
    document = workload(server)
    server.apply(document)
    document["spec"]["replicas"] = 7
    server.apply(document)
    assert server.get(document)["metadata"]["generation"] == 2
    document["metadata"]["labels"]["more"] = "x"
    server.apply(document)
    assert server.get(document)["metadata"]["generation"] == 2


def test_what_the_manager_drops_goes(server: Any) -> None:
    """A field that is no longer applied is removed, one of somebody else's stays."""
    server.apply(config(server, a="1", b="2"))
    server.apply(config(server, c="3"), manager="other")
    server.apply(config(server, a="1"))
    assert server.get(config(server))["data"] == {"a": "1", "c": "3"}


def test_conflicts_name_the_field_and_force_takes_it(server: Any) -> None:
    """Two managers, one field, two values: 409 with the manager's name, unless forced."""
    server.apply(config(server, a="1"))
    answer = server.apply(config(server, a="2"), manager="other")
    assert answer.status == 409
    assert '"test"' in answer.message
    assert any(cause.startswith(".data.a") for cause in answer.causes)
    assert server.apply(config(server, a="2"), manager="other", force="true").status == 200
    assert server.get(config(server))["data"] == {"a": "2"}
    assert server.apply(config(server, a="1")).status == 409


def test_the_same_value_is_no_conflict(server: Any) -> None:
    """Then both own it."""
    server.apply(config(server, a="1"))
    assert server.apply(config(server, a="1"), manager="other").status == 200
    server.apply(config(server, b="1"))
    assert server.get(config(server))["data"] == {"a": "1", "b": "1"}


def test_lists_merge_by_their_keys(server: Any) -> None:
    """A sidecar of another manager's stays beside our container."""
    document = workload(server)
    server.apply(document)
    other = copy.deepcopy(document)
    template = {"spec": {"containers": [{"name": "side", "image": "side@sha256:" + "2" * 64}]}}
    other["spec"] = {
        "selector": document["spec"]["selector"],
        "template": {**template, "metadata": document["spec"]["template"]["metadata"]},
    }
    assert server.apply(other, manager="other").status == 200
    document["spec"]["template"]["spec"]["containers"][0]["image"] = "main@sha256:" + "3" * 64
    assert server.apply(document).status == 200
    containers = server.get(document)["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item["image"][:4] for item in containers} == {"main": "main", "side": "side"}


def test_a_dry_run_stores_nothing(server: Any) -> None:
    """Neither a new object nor a change."""
    assert server.apply(config(server, a="1"), dryRun="All").status == 201
    assert server.get(config(server)) is None
    server.apply(config(server, a="1"))
    server.apply(config(server, a="2"), dryRun="All")
    assert server.get(config(server))["data"] == {"a": "1"}


def test_label_selectors(server: Any) -> None:
    """Lists are filtered by the server."""
    document = config(server, a="1")
    document["metadata"]["labels"] = {"x": "1"}
    server.apply(document)
    path = server.path(document, named=False)
    assert len(list(server.connection.list_items(path, "x=1"))) == 1
    assert list(server.connection.list_items(path, "x=2")) == []


def test_create_twice_and_delete_twice(server: Any) -> None:
    """409 AlreadyExists, 404 NotFound."""
    document = config(server, a="1")
    assert server.create(document).status == 201
    answer = server.create(document)
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert server.connection.request("DELETE", server.path(document)).status == 200
    assert server.connection.request("DELETE", server.path(document)).status == 404


def test_no_manager_no_apply(server: Any) -> None:
    """The field manager is required."""
    assert server.apply(config(server), manager="").status in (400, 422)


def test_unknown_kind(server: Any) -> None:
    """404 for what is not served."""
    assert server.connection.request("GET", "/apis/nobody.example/v1/things").status == 404


def test_a_dropped_list_item_goes_whole(server: Any) -> None:
    """A variable that is no longer applied leaves nothing behind."""
    document = workload(server)
    environment = document["spec"]["template"]["spec"]["containers"][0]["env"]
    environment.append({"name": "EXTRA", "value": "1"})
    server.apply(document)
    environment.pop()
    assert server.apply(document).status == 200
    live = server.get(document)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["name"] for item in live] == [item["name"] for item in environment]


def test_a_list_does_not_say_what_its_items_are(server: Any) -> None:
    """Neither apiVersion nor kind, as typed lists of the built-in kinds come."""
    server.apply(config(server, a="1"))
    for item in server.connection.list_items(server.path(config(server), named=False)):
        assert "kind" not in item and "apiVersion" not in item


def events(server: Any, path: str, since: str) -> list[tuple[str, str]]:
    """Kinds and names of what a watch tells from a resource version on."""
    query = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "2"}
    found = [json.loads(line) for line in server.connection.stream_lines(path, query)]
    return [(item["type"], item["object"]["metadata"]["name"]) for item in found if item["type"] != "BOOKMARK"]


def test_a_watch_goes_on_from_a_version(server: Any) -> None:
    """What came before it is not told again."""
    document = config(server, a="1")
    path = server.path(document, named=False)
    server.apply(document)
    since = server.connection.get(path)["metadata"]["resourceVersion"]
    server.apply(config(server, a="2"))
    server.connection.request("DELETE", server.path(document))
    assert [kind for kind, name in events(server, path, since) if name == "a"] == ["MODIFIED", "DELETED"]


def test_what_is_owned_goes_with_its_owner(server: Any) -> None:
    """The collector may take its time."""
    owner = config(server, a="1")
    server.apply(owner)
    uid = server.get(owner)["metadata"]["uid"]
    child = config(server, b="1")
    child["metadata"]["name"] = "child"
    child["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": uid}]
    server.apply(child)
    server.connection.request("DELETE", server.path(owner), query={"propagationPolicy": "Background"})
    deadline = time.monotonic() + 60
    while server.get(child) is not None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.get(child) is None


def test_a_merge_patch_by_another_manager(server: Any) -> None:
    """It changes what it names; a later apply of ours that does not name it leaves it."""
    document = workload(server)
    server.apply(document)
    stamp = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    answer = server.connection.request(
        "PATCH",
        server.path(document),
        query={"fieldManager": "restarter"},
        body=stamp,
        kind="application/merge-patch+json",
    )
    assert answer.status == 200
    assert server.apply(document).status == 200
    annotations = server.get(document)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/restartedAt"] == "now"
