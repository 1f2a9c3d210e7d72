"""`dynamo deploy`, as a process would run it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from support import handmade
from support.cluster import cluster

IMAGE = "registry.example.com/hello@sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bento in the store, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(bento.manifest))
    (folder / "build.json").write_text("{}")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run(["deploy", "hello:abc", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_yaml_on_stdout_and_talk_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """stdout is manifests alone; the NATS tag is warned of."""
    code, out, err = run(capsys, "--set-image", IMAGE, "--namespace", "prod", "--name", "demo")
    found = list(yaml.safe_load_all(out))
    assert code == 0
    assert {item["metadata"]["namespace"] for item in found} == {"prod"}
    assert {item["metadata"]["name"] for item in found if item["kind"] == "Deployment"} == {
        "demo-frontend",
        "demo-backend",
    }
    assert "`nats:2` is a tag" in err


def test_forms_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    """The name, the deployment as a value, the manifests as JSON."""
    assert run(capsys, "--image", IMAGE, "-o", "name")[1] == "hello\n"
    assert json.loads(run(capsys, "--image", IMAGE, "-o", "json")[1])["bento"] == "hello:abc"
    assert json.loads(run(capsys, "--image", IMAGE, "--format", "json")[1])["kind"] == "List"
    assert run(capsys, "--image", IMAGE, "--target", "compose")[1].startswith('name: "hello"')
    assert "DynamoGraphDeployment" in run(capsys, "--image", IMAGE, "--target", "dynamo-crd")[1]


def test_a_file_per_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """stdout names the folder."""
    code, out, _ = run(capsys, "--image", IMAGE, "--output-dir", "out")
    assert (code, out) == (0, "out\n")
    assert len(list((tmp_path / "out").glob("*.yaml"))) > 5


def test_variables_secrets_and_service_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """Each lands where it belongs, the secret as a reference."""
    arguments = ("--env", "LEVEL=1e3", "--env-from-secret", "HF_TOKEN=hf/token", "--Backend.ServiceArgs.workers=3")
    _, out, _ = run(capsys, "--image", IMAGE, "--nats", "nats://a.example:4222", *arguments)
    backend = next(
        item
        for item in yaml.safe_load_all(out)
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", "hello-backend")
    )
    variables = {item["name"]: item for item in backend["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert backend["spec"]["replicas"] == 3
    assert variables["LEVEL"]["value"] == "1e3"
    assert variables["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "hf", "key": "token"}


def test_a_dry_run_needs_no_image(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be pushed, and pushes nothing."""
    code, out, _ = run(capsys, "--registry", "registry.example.com/team", "--dry-run")
    assert code == 0
    assert "registry.example.com/team/hello:abc (to be pushed)" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "there is no registry to push the image to"),
        (("--image", "a.example/b:1"), 2, "has no digest"),
        (("--image", f"Nobody={IMAGE}"), 2, "no service `Nobody`"),
        (("--image", IMAGE, "--target", "k9s"), 2, "there is no target `k9s`"),
        (("--image", IMAGE, "--option", "nodes=3"), 14, "has no option `nodes`"),
        (("--image", IMAGE, "--env", "API_KEY=x"), 2, "looks like a secret"),
        (("--image", IMAGE, "--env-from-secret", "A=b"), 2, "is not K=SECRET/KEY"),
        (("--image", IMAGE, "--timeout", "soon"), 2, "is not a time"),
        (("--image", IMAGE, "--format", "toml"), 2, "not a form of manifests"),
        (("--image", IMAGE, "--apply"), 14, "no cluster is configured"),
        (("--image", IMAGE, "--applly"), 2, "no such option: --applly"),
        (("--image", IMAGE, "--option", 'overrides={"Backend": {"container": {"imagePullPolicy": "Alwayss"}}}'), 14,
         "`Alwayss` is not one of"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    """With the documented exit code, nothing on stdout and no traceback."""
    got, out, err = run(capsys, *arguments)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_apply_wait_and_diff(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only --apply or --wait touch the cluster; then stdout is the name; the diff is empty after."""
    with cluster() as double:
        monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path)))
        arguments = ("--image", IMAGE, "--namespace", "demo")
        assert run(capsys, *arguments)[0] == 0
        assert double.requests == []
        assert run(capsys, *arguments, "--server-dry-run")[0] == 0
        assert double.names("deployments") == []
        assert run(capsys, *arguments, "--wait", "--timeout", "20s")[:2] == (0, "hello\n")
        assert double.names("deployments") == ["hello-backend", "hello-frontend"]
        assert run(capsys, *arguments, "--diff")[1] == "nothing would change\n"
        double.script("hello-backend", waiting="ImagePullBackOff", message="no such image")
        code, _, err = run(capsys, *arguments, "--env", "A=1", "--wait", "--timeout", "1s")
        assert code == 14
        assert "Deployment/hello-backend: ImagePullBackOff: no such image" in err


def test_check_reads_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt field is seen with --check alone."""
    misspelt = ("--image", IMAGE, "--option", 'overrides={"Backend": {"container": {"comand": ["x"]}}}')
    assert run(capsys, *misspelt)[0] == 0
    code, out, err = run(capsys, *misspelt, "--check")
    assert (code, out) == (14, "")
    assert "comand: field not declared in schema" in err


REGISTRY = ("--registry", "127.0.0.1:1/team", "--insecure", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "k9s"), "there is no target `k9s`"),
        (("--format", "toml"), "not a form of manifests"),
        (("--timeout", "soon"), "is not a time"),
        (("--env", "A"), "is not `key=value`"),
        (("--option", "nodes=3"), "has no option `nodes`"),
        (("--Backend.ServiceArgs.workers=x",), "workers"),
        (("--apply",), "no cluster is configured"),
        (("--set-image", f"Nobody={IMAGE}"), "no service `Nobody`"),
    ],
)
def test_refused_before_the_registry_is_asked(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Nothing is built or pushed for a deployment that cannot be; the registry here would not answer."""
    code, out, err = run(capsys, *REGISTRY, "--base", "127.0.0.1:1/base:1", *arguments)
    assert code != 0 and out == ""
    assert message in err
    assert "127.0.0.1:1" not in err


def test_no_cluster_no_push(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cluster that lets nobody in is noticed first."""
    with cluster() as double:
        monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path, token="wrong")))
        code, _, err = run(capsys, *REGISTRY, "--base", "127.0.0.1:1/base:1", "--apply")
    assert code == 14
    assert "does not know you (401)" in err


def test_settings_of_the_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They are defaults; flags win, and another target does not get this one's options."""
    (tmp_path / "dynamo.yaml").write_text(
        "deploy:\n  registry: registry.example.com/team\n  namespace: prod\n  options: {pod_monitor: true, nats_image: 'a.example/nats:2'}\n"
    )
    result = json.loads(run(capsys, "--dry-run", "-o", "json")[1])
    assert (result["namespace"], result["state"]) == ("prod", "planned")
    assert result["services"][0]["image"].startswith("registry.example.com/team/hello:abc@")
    assert "PodMonitor/hello" in result["objects"]
    result = json.loads(run(capsys, "--dry-run", "-o", "json", "-n", "x", "--target", "compose")[1])
    assert result["objects"] == ["compose file"]
    out = run(capsys, "--image", IMAGE, "--option", "nats-image=b.example/nats:2")[1]
    assert "b.example" in out and "a.example" not in out


def test_where_the_registry_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The flag, the environment, the project, in this order; without any, one line that names them all."""

    def planned(*arguments: str) -> str:
        return str(json.loads(run(capsys, "--dry-run", "-o", "json", *arguments)[1])["services"][0]["image"])

    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    for name in ("--registry", "DYNAMO_REGISTRY", "[tool.dynamo.deploy]", "--set-image"):
        assert name in err
    (tmp_path / "pyproject.toml").write_text('[tool.dynamo.deploy]\nregistry = "project.example.com/team"\n')
    assert planned().startswith("project.example.com/team/hello:abc@")
    monkeypatch.setenv("DYNAMO_REGISTRY", "environment.example.com")
    assert planned().startswith("environment.example.com/hello:abc@")
    assert planned("--registry", "flag.example.com").startswith("flag.example.com/hello:abc@")


def test_what_is_set_at_deploy_time_changes_neither_version_nor_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file over what the bento froze, a flag over the file; all of it in the ConfigMap, and the pods roll by its name."""
    (tmp_path / "config.yaml").write_text("Backend: {a: file, b: file}\n")

    def seen(*arguments: str) -> tuple[dict[str, object], set[str], set[str], str]:
        found = list(yaml.safe_load_all(run(capsys, "--image", IMAGE, *arguments)[1]))
        held = next(item for item in found if item["kind"] == "ConfigMap")
        pods = [item["spec"]["template"]["spec"]["containers"][0] for item in found if item["kind"] == "Deployment"]
        bentos = {item["metadata"]["annotations"]["dynamo/bento"] for item in found if item["kind"] == "Deployment"}
        return json.loads(held["data"]["config.json"]), {pod["image"] for pod in pods}, bentos, held["metadata"]["name"]

    config, images, bentos, name = seen("-f", "config.yaml", "--Backend.b=flag")
    assert config["Backend"] == {"a": "file", "b": "flag"}
    plain = seen()
    assert (images, bentos) == plain[1:3] == ({IMAGE}, {"hello:abc"})
    assert name != plain[3]


def test_the_token_is_named_and_never_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The YAML refers to the Secret and says how to make it; an apply makes it and tells nobody what it holds."""
    import base64

    out = run(capsys, "--image", IMAGE, "-n", "demo")[1]
    assert "# kubectl -n demo create secret generic hello-transport" in out
    assert "Secret" not in {item["kind"] for item in yaml.safe_load_all(out)}
    with cluster() as double:
        monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path)))
        code, out, err = run(capsys, "--image", IMAGE, "-n", "demo", "--apply", "-o", "json")
        assert code == 0
        token = base64.b64decode(double.get("secrets", "hello-transport")["data"]["token"]).decode()
        assert len(token) == 64 and token not in out + err
