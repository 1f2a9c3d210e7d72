"""What an API server and its users do to a deployment: rights, cuts, interrupts, silence."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from support import handmade
from support.cluster import Cluster, cluster

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example.com/hello@sha256:" + "a" * 64
DEPLOY = ("deploy", "hello:abc", "--image", IMAGE, "-n", "demo", "--apply")
EVERYTHING = (
    'autoscaling={"Backend": {"minimum": 2, "maximum": 3}}',
    "ingress-host=a.example.com",
    "model-cache-size=1Gi",
)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster, and a bento to deploy to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    endpoints = [{"name": "generate", "method": "generate", "transport": "http"}]
    text = yaml.safe_load(bento_yaml.format_manifest(bento.manifest))
    next(one for one in text["graph"]["services"] if one["name"] == "Frontend")["endpoints"] = endpoints
    (folder / bento_yaml.NAME).write_text(yaml.safe_dump(text))
    (folder / "build.json").write_text("{}")
    with cluster() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


def run(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    code = app.run([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def role() -> dict[str, Any]:
    page = (ROOT / "docs/how-to/cluster-role.md").read_text()
    found: dict[str, Any] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    return found


def test_a_user_with_exactly_the_documented_role(
    double: Cluster, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb works with it, and nothing in it is more than they need."""
    token = double.user("deployer", role())
    monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path, token)))
    options = [item for value in EVERYTHING for item in ("--option", value)]
    double.logs["hello-backend-1"] = "line\n"

    def works(*arguments: str) -> None:
        code, _, err = run(capsys, *arguments)
        assert code == 0, f"{arguments}: {err}"

    def verb(name: str, *arguments: str) -> None:
        works("deployment", name, "hello", *arguments, "-n", "demo")

    works(*DEPLOY, *options, "--wait")
    works(*DEPLOY[:-1], *options, "--diff")
    double.get("deployments", "hello-backend")["status"] = {}
    double.script("hello-frontend", ready_after=1)
    works(*DEPLOY, "--wait")
    for name in ("get", "status", "diff", "history", "logs", "restart"):
        verb(name)
    verb("rollback", "--wait")
    verb("scale", "Frontend=2")
    works("deployment", "list", "-n", "demo")
    verb("delete", "--yes", "--claims")
    wanted = {
        (verb, group, resource)
        for rule in role()["rules"]
        for verb, group, resource in itertools.product(rule["verbs"], rule["apiGroups"], rule["resources"])
    }
    assert double.used == wanted


@pytest.mark.parametrize(
    ("resource", "verb", "message"),
    [
        ("configmaps", "get", 'cannot get resource "configmaps"'),
        (
            "secrets",
            "create",
            'User "deployer" cannot create resource "secrets" in API group "" in the namespace "demo"',
        ),
        ("deployments", "patch", 'cannot patch resource "deployments" in API group "apps"'),
        ("deployments", "create", 'cannot create resource "deployments" in API group "apps"'),
    ],
)
def test_a_right_that_is_missing(
    double: Cluster,
    capsys: Captured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resource: str,
    verb: str,
    message: str,
) -> None:
    """Who may not do what where, in one line; nothing is tried twice."""
    given = role()
    rules = []
    for rule in given["rules"]:
        rest = [name for name in rule["resources"] if name != resource]
        rules += [{**rule, "resources": rest}] if rest else []
        if resource in rule["resources"]:
            rules.append({**rule, "resources": [resource], "verbs": [name for name in rule["verbs"] if name != verb]})
    token = double.user("deployer", {"rules": rules})
    monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path, token)))
    code, out, err = run(capsys, *DEPLOY)
    assert (code, out) == (14, "")
    assert message in err and "Traceback" not in err
    assert len([path for method, path, _ in double.requests if path.endswith(double.requests[-1][1])]) <= 2


def test_an_interrupt_in_the_middle_is_completed_by_the_next_deploy(
    double: Cluster, capsys: Captured, tmp_path: Path
) -> None:
    """Ctrl-C ends it at once with 130; the second run makes what is missing and the third changes nothing."""
    double.fail("PATCH", "services/hello-frontend", 500, hang=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "dynamo_build", *DEPLOY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any("services/hello-frontend" in path for method, path, _ in double.requests if method == "PATCH"):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert double.names("deployments") == []
    assert run(capsys, *DEPLOY, "--wait")[0] == 0
    assert double.names("deployments") == ["hello-backend", "hello-frontend"]
    double.requests.clear()
    assert run(capsys, *DEPLOY)[0] == 0
    assert double.writes() == []
    assert run(capsys, "deployment", "history", "hello", "-n", "demo", "-o", "name")[1] == "1\n"


def test_an_interrupted_change_is_pruned_by_the_next(double: Cluster, capsys: Captured) -> None:
    """What only the cut deploy had is found again, since the set knew of its kinds before."""
    run(capsys, *DEPLOY)
    double.fail("PATCH", "deployments/hello-frontend", 403, body={"message": "no"})
    code, _, _ = run(capsys, *DEPLOY, "--option", 'autoscaling={"Backend": {}}', "--option", "model-cache-size=1Gi")
    assert code == 14
    assert run(capsys, *DEPLOY, "--option", "ingress-host=a.example.com")[0] == 0
    assert double.names("horizontalpodautoscalers") == []
    assert double.names("ingresses") == ["hello-frontend"]


def test_a_server_that_goes_away_while_waiting(double: Cluster, capsys: Captured) -> None:
    """The wait goes on when it is back: cut connections and errors are no reason to give up."""
    double.script("hello-backend", ready_after=2)
    for _ in range(3):
        double.fail("GET", "apis/apps/v1/namespaces/demo/deployments", 0)
    double.fail("GET", "apis/apps/v1/namespaces/demo/deployments", 503)
    assert run(capsys, *DEPLOY, "--wait", "--timeout", "60s")[0] == 0


def test_a_list_that_expires_is_begun_again(double: Cluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 in the middle of the pages."""
    run(capsys, *DEPLOY)
    monkeypatch.setattr("dynamo_build.deploy.cluster.api_client.PAGE", "1")
    path = r"deployments$"
    double.faults.clear()
    seen = len(double.requests)
    double.fail("GET", path, 200, body={"metadata": {"continue": "1"}, "items": []})
    double.fail("GET", path, 410, body={"message": "The provided continue parameter is too old", "reason": "Expired"})
    code, out, _ = run(capsys, "deployment", "get", "hello", "-n", "demo")
    assert code == 0
    assert out.count("Deployment/hello-backend") == 1
    assert len(double.requests) - seen < 40


def test_a_log_that_is_cut(double: Cluster, capsys: Captured) -> None:
    """What came is shown, then one line."""
    run(capsys, *DEPLOY)
    double.fail("GET", r"/log$", 0, times=9)
    code, _, err = run(capsys, "deployment", "logs", "hello", "--follow", "-n", "demo")
    assert code == 14
    assert "no answer from the cluster" in err and "Traceback" not in err


def test_a_server_that_never_answers(double: Cluster, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up after a while, with the address."""
    monkeypatch.setattr("dynamo_build.deploy.cluster.api_client._PATIENCE", 0.3)
    double.fail("GET", "version", 200, times=99, hang=2)
    from dynamo_build.deploy.cluster.api_client import Connection, Unreachable

    connection = Connection(kubeconfig=os.environ["KUBECONFIG"], timeout=0.2, sleep=lambda seconds: None)
    with pytest.raises(Unreachable, match=r"no answer from the cluster at http://127\.0\.0\.1"):
        connection.get_version()
    assert len(double.requests) <= 3


def test_too_many_requests_are_paced(double: Cluster, capsys: Captured) -> None:
    """429 with Retry-After, then all goes through."""
    double.fail("PATCH", "services/", 429, times=2, headers={"Retry-After": "1"})
    begun = time.monotonic()
    assert run(capsys, *DEPLOY)[0] == 0
    assert time.monotonic() - begun >= 2


def test_a_typo_is_refused_once(double: Cluster, capsys: Captured) -> None:
    """The server says 500 for it; it is asked once, and answered in one line with the field."""
    misspelt = ("--option", 'overrides={"Backend": {"container": {"comand": ["x"]}}}')
    code, _, err = run(capsys, *DEPLOY, *misspelt)
    assert code == 14
    assert "Deployment/hello-backend is invalid: .spec.template.spec.containers[0].comand: field not declared" in err
    assert len([path for method, path, _ in double.requests if path.endswith("deployments/hello-backend")]) == 1
