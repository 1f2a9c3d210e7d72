"""The pipelines that `dynamo ci init` writes, run step by step against a real registry and the API server's double."""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from integration.pipelines import Github, Gitlab
from support import hello
from support.cluster import Cluster, cluster
from support.command_line import dynamo

pytestmark = pytest.mark.registry
ENTRY = "hello_world:Frontend"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example with its lock, as a repository holds it."""
    folder = tmp_path / "project"
    shutil.copytree(hello.ROOT / "examples/hello_world", folder)
    (folder / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    locked = dynamo("build", ENTRY, "--upgrade", folder=folder)
    assert locked.returncode == 0, locked.stderr
    return folder


@pytest.fixture
def runner(tmp_path: Path, registry_tls: dict[str, str]) -> dict[str, str]:
    """The environment of a runner without Docker: a home of its own, and nothing of this one but the tools' path."""
    home = tmp_path / "home"
    home.mkdir()
    trusted = tmp_path / "trusted.pem"
    system = ssl.get_default_verify_paths().cafile
    trusted.write_text((Path(system).read_text() if system else "") + Path(registry_tls["ca"]).read_text())
    said = tmp_path / "gh"
    said.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/gh.said\ncat comment.md >> {tmp_path}/gh.said\n')
    said.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "LANG", "LC_"))}
    path = f"{Path(sys.executable).parent}:{tmp_path}:/usr/bin:/bin"
    return {**kept, "HOME": str(home), "PATH": path, "SSL_CERT_FILE": str(trusted), "DOCKER_HOST": "unix:///none"}


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A cluster with the two namespaces that the pipelines deploy to."""
    with cluster() as double:
        double.namespace("staging")
        double.namespace("production")
        yield double


def images_of(server: Cluster, namespace: str) -> set[str]:
    """The images that run in a namespace, apart from the broker's."""
    names = [name for name in server.names("deployments", namespace) if "nats" not in name]
    pods = [server.get("deployments", name, namespace)["spec"]["template"]["spec"] for name in names]
    return {container["image"] for pod in pods for container in pod["containers"]}


def test_github(
    project: Path,
    runner: dict[str, str],
    server: Cluster,
    registry_tls: dict[str, str],
    base_image: str,
    tmp_path: Path,
) -> None:
    """Built, pushed, compared and deployed by digest, from runners that share nothing but the registry."""
    place = f"{registry_tls['address']}/{secrets.token_hex(6)}"
    made = dynamo("ci", "init", "github", ENTRY, "--registry", place, "-f", "config.yaml", folder=project)
    assert made.returncode == 0, made.stderr
    kubeconfig = server.kubeconfig(tmp_path).read_text()
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    workflow = Github(
        project,
        project / ".github/workflows/dynamo.yaml",
        {
            "GITHUB_TOKEN": registry_tls["password"],
            "SIGNING_KEY": key.read_text(),
            "KUBECONFIG_STAGING": kubeconfig,
            "KUBECONFIG_PRODUCTION": kubeconfig,
        },
        {"DYNAMO_IMAGE": base_image},
    )
    event = {
        "actor": registry_tls["user"],
        "token": "t",
        "repository": "team/app",
        "event.pull_request.number": "7",
    }
    for number, job in enumerate(["image", "diff", "staging", "production"]):
        shutil.rmtree(runner["HOME"])
        Path(runner["HOME"]).mkdir()
        workflow.run(job, tmp_path / f"workspace{number}", runner, event)
    digest = workflow.outputs["image"]["digest"]
    assert images_of(server, "staging") == images_of(server, "production")
    assert [image.partition("@")[2] for image in images_of(server, "production")] == [digest]
    (image,) = images_of(server, "production")
    trusted = {"SSL_CERT_FILE": runner["SSL_CERT_FILE"], "DOCKER_CONFIG": f"{runner['HOME']}/.docker"}
    verified = dynamo("image", "verify", image, "--key", str(public), folder=tmp_path, **trusted)
    assert verified.returncode == 0, verified.stderr
    comment = (tmp_path / "gh.said").read_text()
    assert comment.startswith("pr comment 7 --body-file comment.md") and "Deployment" in comment
    said = "".join(workflow.log)
    assert registry_tls["password"] not in said and "token:" not in said
    assert not list(tmp_path.glob("workspace*/kubeconfig")) and not list(tmp_path.glob("workspace*/signing.key"))


def test_gitlab(
    project: Path,
    runner: dict[str, str],
    server: Cluster,
    registry_tls: dict[str, str],
    base_image: str,
    tmp_path: Path,
) -> None:
    """The same steps in GitLab's form."""
    assert dynamo("ci", "init", "gitlab", ENTRY, folder=project).returncode == 0
    pipeline = Gitlab(
        project,
        project / ".gitlab-ci.yml",
        {
            "CI_REGISTRY_USER": registry_tls["user"],
            "CI_REGISTRY_PASSWORD": registry_tls["password"],
            "CI_REGISTRY_IMAGE": f"{registry_tls['address']}/{secrets.token_hex(6)}",
            "DYNAMO_IMAGE": base_image,
            "CLUSTER": server.kubeconfig(tmp_path).read_text(),
        },
    )
    for number, job in enumerate(["image", "diff", "staging", "production"]):
        pipeline.run(job, tmp_path / f"workspace{number}", runner)
    assert [image.partition("@")[2] for image in images_of(server, "production")] == [pipeline.reported["DIGEST"]]
    assert b"would change" in pipeline.artifacts["comment.md"]
    assert registry_tls["password"] not in "".join(pipeline.log)


def test_every_job_is_run_here(project: Path) -> None:
    """A job that is added to a template is added to the tests above."""
    dynamo("ci", "init", "github", ENTRY, folder=project)
    dynamo("ci", "init", "gitlab", ENTRY, folder=project)
    workflow = yaml.safe_load((project / ".github/workflows/dynamo.yaml").read_text())
    pipeline = yaml.safe_load((project / ".gitlab-ci.yml").read_text())
    jobs = {"image", "diff", "staging", "production"}
    assert set(workflow["jobs"]) == jobs
    assert set(pipeline) - {"stages", "default", "variables"} == jobs


def test_shell_is_clean(project: Path, tmp_path: Path) -> None:
    """Every step parses in a POSIX shell, and no secret stands in a command's arguments."""
    dynamo("ci", "init", "github", ENTRY, folder=project)
    workflow = yaml.safe_load((project / ".github/workflows/dynamo.yaml").read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                subprocess.run(["sh", "-n", "-c", step["run"]], check=True)
                assert "secrets." not in step["run"] and "${{" not in step["run"]
