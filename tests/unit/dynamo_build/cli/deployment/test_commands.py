"""`dynamo deployment`, as a process would run it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from support import handmade
from support.cluster import Cluster, cluster

IMAGE = "registry.example.com/hello@sha256:" + "a" * 64
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured) -> Iterator[Cluster]:
    """A cluster on which the bento `hello:abc` was deployed once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(bento.manifest))
    (folder / "build.json").write_text("{}")
    with cluster() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        assert deploy(capsys)[0] == 0
        yield server


def run(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    code = app.run([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def deploy(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    return run(capsys, "deploy", "hello:abc", "--image", IMAGE, "-n", "demo", "--apply", *arguments)


def verb(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    return run(capsys, "deployment", *arguments, "-n", "demo")


def replicas(double: Cluster) -> int:
    return int(double.get("deployments", "hello-backend")["spec"]["replicas"])


def test_list(double: Cluster, capsys: Captured) -> None:
    """Of one namespace or of all, as a table, as values, as names."""
    code, out, _ = verb(capsys, "list")
    assert code == 0
    assert out.splitlines()[1].split() == ["demo", "hello", "hello:abc", "k8s", "1", "ready", "3/3"]
    assert run(capsys, "deployment", "list", "-A", "-o", "name")[1] == "demo/hello\n"
    (found,) = json.loads(verb(capsys, "list", "-o", "json")[1])
    assert (found["bento"], found["state"], len(found["workloads"])) == ("hello:abc", "ready", 3)
    code, out, err = run(capsys, "deployment", "list")
    assert (code, out) == (0, "")
    assert "no deployment in the namespace default" in err


def test_get(double: Cluster, capsys: Captured) -> None:
    """What it holds, and the manifests as they were applied."""
    text = verb(capsys, "get", "hello")[1]
    assert "object    Deployment/hello-backend" in text
    assert IMAGE in text
    applied = list(yaml.safe_load_all(verb(capsys, "get", "hello", "--manifests")[1]))
    rendered = run(capsys, "deploy", "hello:abc", "--image", IMAGE, "-n", "demo")[1]
    assert applied == list(yaml.safe_load_all(rendered))


def test_status_tells_the_reason_and_fails(double: Cluster, capsys: Captured) -> None:
    """With the last lines of a container that crashes; old pods are still there."""
    assert verb(capsys, "status", "hello", "-o", "name") == (0, "ready\n", "")
    double.script("hello-backend", waiting="CrashLoopBackOff", message="back-off 10s", exit_code=3)
    double.logs["hello-backend-2 previous"] = "Traceback\nValueError: no such model\n"
    deploy(capsys, "--env", "A=1")
    code, out, _ = verb(capsys, "status", "hello")
    assert code == 14
    assert "CrashLoopBackOff: back-off 10s (exit code 3, Error, its last lines: Traceback | ValueError" in out
    assert {"hello-backend-1", "hello-backend-2"} <= set(double.names("pods"))
    code, _, err = verb(capsys, "status", "hello", "--wait", "--timeout", "1s")
    assert code == 14
    assert "was not ready after 1 s: Deployment/hello-backend: CrashLoopBackOff" in err


def test_diff_shows_drift_and_revisions(double: Cluster, capsys: Captured) -> None:
    """What somebody changed by hand, and what going back would change."""
    assert verb(capsys, "diff", "hello", "--exit-code") == (0, "nothing differs\n", "")
    double.get("deployments", "hello-backend")["spec"]["replicas"] = 7
    code, out, _ = verb(capsys, "diff", "hello", "--exit-code")
    assert (code, out) == (1, "~ Deployment/hello-backend spec.replicas: 7 → 1\n")
    double.get("deployments", "hello-backend")["spec"]["replicas"] = 1
    deploy(capsys, "--Backend.ServiceArgs.workers=3", "--env", "A=1")
    out = verb(capsys, "diff", "hello", "--revision", "1")[1]
    environment = "spec.template.spec.containers[main].env[A]"
    assert f'~ Deployment/hello-backend {environment}: {{"name": "A", "value": "1"}} → nothing\n' in out
    assert "~ Deployment/hello-backend spec.replicas: 3 → 1\n" in out
    assert "- PodDisruptionBudget/hello-backend" in out
    assert verb(capsys, "diff", "hello", "--revision", "9")[0] == 14


def test_history_and_rollback(double: Cluster, capsys: Captured) -> None:
    """Back means all of it: replicas, configuration, objects that came since; and the way back is open."""
    deploy(capsys, "--Backend.ServiceArgs.workers=3", "--env", "A=1")
    assert replicas(double) == 3
    rows = [line.split() for line in verb(capsys, "history", "hello")[1].splitlines()[1:]]
    assert [(row[0], row[1], row[-1] == "*") for row in rows] == [("2", "hello:abc", True), ("1", "hello:abc", False)]
    code, out, _ = verb(capsys, "rollback", "hello", "--wait")
    assert (code, out) == (0, "hello is back at revision 1\n")
    assert replicas(double) == 1
    assert double.names("poddisruptionbudgets") == []
    assert json.loads(verb(capsys, "rollback", "hello", "--to", "2", "-o", "json")[1])["restored"] == 2
    assert replicas(double) == 3
    assert verb(capsys, "history", "hello", "-o", "name")[1].split() == ["4", "3", "2", "1"]


def test_rollback_of_a_broken_deploy(double: Cluster, capsys: Captured) -> None:
    """The pods of before serve throughout."""
    before = double.get("pods", "hello-backend-1")["metadata"]["uid"]
    double.script("hello-backend", waiting="ImagePullBackOff", message="no such image")
    assert deploy(capsys, "--env", "A=1", "--wait", "--timeout", "1s")[0] == 14
    assert double.get("pods", "hello-backend-1")["metadata"]["uid"] == before
    double.script("hello-backend")
    assert verb(capsys, "rollback", "hello", "--wait", "--timeout", "20s")[0] == 0
    environment = double.get("deployments", "hello-backend")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "A" not in {item["name"] for item in environment}


def test_nothing_to_go_back_to(double: Cluster, capsys: Captured) -> None:
    """One line."""
    code, out, err = verb(capsys, "rollback", "hello")
    assert (code, out) == (14, "")
    assert "hello has no earlier revision to go back to" in err


def test_restart(double: Cluster, capsys: Captured) -> None:
    """Of all services or of some, but not of NATS; a later deploy does not undo it."""
    code, out, _ = verb(capsys, "restart", "hello")
    assert (code, out.split()) == (0, ["Deployment/hello-backend", "Deployment/hello-frontend"])
    name = "kubectl.kubernetes.io/restartedAt"
    backend = double.get("deployments", "hello-backend")
    assert backend["spec"]["template"]["metadata"]["annotations"][name]
    double.requests.clear()
    assert deploy(capsys)[0] == 0
    assert double.writes() == []
    assert verb(capsys, "restart", "hello", "Backend", "-o", "name")[1] == "hello\n"
    code, _, err = verb(capsys, "restart", "hello", "Nobody")
    assert code == 2
    assert "no service `Nobody`" in err


def test_scale(double: Cluster, capsys: Captured) -> None:
    """A revision of its own, so that it can be undone; the next deploy does not conflict."""
    assert verb(capsys, "scale", "hello", "Backend=4", "--wait")[:2] == (0, "Backend 4\n")
    assert replicas(double) == 4
    assert verb(capsys, "diff", "hello")[1] == "nothing differs\n"
    assert verb(capsys, "rollback", "hello")[0] == 0
    assert replicas(double) == 1
    verb(capsys, "scale", "hello", "Backend=4")
    assert deploy(capsys)[0] == 0
    assert replicas(double) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("Backend", "is not SERVICE=COUNT"),
        ("Backend=-1", "is not SERVICE=COUNT"),
        ("Backend=1e3", "is not SERVICE=COUNT"),
        ("Nobody=1", "no service `Nobody`"),
    ],
)
def test_scale_refuses(double: Cluster, capsys: Captured, argument: str, message: str) -> None:
    """Nothing is written."""
    double.requests.clear()
    code, out, err = verb(capsys, "scale", "hello", argument)
    assert (code, out) == (2, "")
    assert message in err
    assert double.writes() == []


def test_an_autoscaler_is_not_overruled(double: Cluster, capsys: Captured) -> None:
    """The answer says what to change instead."""
    deploy(capsys, "--option", 'autoscaling={"Backend": {"minimum": 1, "maximum": 3}}')
    code, _, err = verb(capsys, "scale", "hello", "Backend=2")
    assert code == 2
    assert "an autoscaler decides" in err


def test_logs(double: Cluster, capsys: Captured) -> None:
    """Of all pods or of one service; the text alone; as JSON; followed; none."""
    double.logs = {"hello-backend-1": "one\ntwo\n", "hello-frontend-1": "three\n"}
    assert "hello-backend-1  one\nhello-backend-1  two\n" in verb(capsys, "logs", "hello")[1]
    assert verb(capsys, "logs", "hello", "Backend", "--tail", "1", "-o", "name")[1] == "two\n"
    line = json.loads(verb(capsys, "logs", "hello", "hello-frontend", "-o", "json")[1])
    assert line == {"pod": "hello-frontend-1", "service": "frontend", "text": "three"}
    followed = verb(capsys, "logs", "hello", "--follow", "-o", "name")[1]
    assert sorted(followed.split()) == ["one", "three", "two"]
    code, _, err = verb(capsys, "logs", "hello", "Nobody")
    assert code == 14
    assert "has no pods of Nobody" in err


def test_delete(double: Cluster, capsys: Captured) -> None:
    """Asks first; then everything goes but the volumes, and they when told."""
    code, _, err = verb(capsys, "delete", "hello")
    assert code == 2
    assert "--yes" in err
    for claim in ("data-hello-nats-0",):
        labels = {"app.kubernetes.io/instance": "hello", "app.kubernetes.io/name": "nats"}
        made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim, "labels": labels}}
        double.store.create(("persistentvolumeclaims", "demo", claim), made, "x", False)
    code, out, _ = verb(capsys, "delete", "hello", "--yes", "-o", "json")
    assert code == 0
    assert "Secret/hello-transport" in json.loads(out)["removed"]
    left = {key[0] for key in double.store.objects if key[1] == "demo"}
    assert left == {"persistentvolumeclaims"}
    assert verb(capsys, "get", "hello")[0] == 14
    deploy(capsys)
    assert verb(capsys, "delete", "hello", "--yes", "--claims")[0] == 0
    assert {key for key in double.store.objects if key[1] == "demo"} == set()


def test_a_delete_that_hangs(double: Cluster, capsys: Captured) -> None:
    """It says what is held by whom, and going on later finishes it."""
    double.get("deployments", "hello-backend")["metadata"]["finalizers"] = ["example.com/guard"]
    code, _, err = verb(capsys, "delete", "hello", "--yes", "--timeout", "1s")
    assert code == 14
    assert "was not gone after 1 s: Deployment/hello-backend (held by example.com/guard)" in err
    del double.get("deployments", "hello-backend")["metadata"]["finalizers"]
    assert verb(capsys, "delete", "hello", "--yes")[0] == 0
    assert {key[0] for key in double.store.objects if key[1] == "demo"} <= {"persistentvolumeclaims"}


@pytest.mark.parametrize("command", ["get", "status", "diff", "history", "logs", "rollback", "restart", "delete"])
def test_a_deployment_that_is_not_there(double: Cluster, capsys: Captured, command: str) -> None:
    """One line and the same code for every verb; a ConfigMap of that name is no deployment."""
    stranger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    double.store.create(("configmaps", "demo", "other"), stranger, "x", False)
    for name in ("nobody", "other"):
        code, out, err = verb(capsys, command, name, *(["--yes"] if command == "delete" else []))
        assert (code, out) == (14, "")
        assert f"there is no deployment `{name}` in the namespace demo" in err


def test_a_name_that_reads_as_something_else(double: Cluster, capsys: Captured) -> None:
    """What `deploy` prints is the name that the verbs take."""
    code, out, _ = deploy(capsys, "--name", "My_Graph", "-o", "name")
    assert code == 0
    assert verb(capsys, "status", out.strip(), "-o", "name")[:2] == (0, "ready\n")
