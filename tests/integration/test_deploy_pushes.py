"""`dynamo deploy` with a real registry: what is missing is built and pushed, once."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from dynamo_build import catalog
from dynamo_build.errors import RegistryError
from dynamo_build.model.reference import ImageReference
from support import hello
from support.cluster import cluster
from support.command_line import dynamo

pytestmark = pytest.mark.registry


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example, built."""
    folder = tmp_path / "hello_world"
    shutil.copytree(hello.ROOT / "examples/hello_world", folder)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = dynamo("build", "hello_world:Frontend", "--python", python, "-o", "name", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_pushed_once_and_named_by_its_digest(project: Path, registry: str, tmp_path: Path, base_image: str) -> None:
    """A dry run pushes nothing; the first run pushes; the second finds all there and prints the same bytes."""
    place = f"{registry}/test/{secrets.token_hex(6)}"
    arguments = ("deploy", "--registry", place, "--base", base_image, "--nats", "nats://nats.example:4222")
    around = catalog.default_surroundings(dict(os.environ))
    planned = json.loads(dynamo(*arguments, "--dry-run", "-o", "json", folder=project).stdout)
    tag = ImageReference.parse(planned["services"][0]["image"].partition("@")[0])
    with pytest.raises(RegistryError, match="has no image"):
        around.registry(tag).resolve(tag)
    first = dynamo(*arguments, folder=project)
    assert first.returncode == 0, first.stderr
    images = {
        container["image"]
        for item in yaml.safe_load_all(first.stdout)
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"{tag.with_tag('').repository}@{around.registry(tag).resolve(tag)}"}
    second = dynamo(*arguments, folder=project)
    assert second.stdout == first.stdout
    assert "nothing to send" in second.stderr


def test_from_source_to_a_cluster(project: Path, registry: str, tmp_path: Path, base_image: str) -> None:
    """One command with settings of the project: pushed, applied, ready; again: nothing to do."""
    (project / "dynamo.yaml").write_text(
        f"deploy: {{registry: {registry}/test/{secrets.token_hex(6)}, namespace: demo}}\nimage: {{base: {base_image}}}\n"
    )
    with cluster() as double:
        environment = {"KUBECONFIG": str(double.kubeconfig(tmp_path))}
        done = dynamo("deploy", "--wait", "-o", "json", folder=project, **environment)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "ready"
        double.requests.clear()
        again = dynamo("deploy", "--wait", "-o", "name", folder=project, **environment)
        assert (again.returncode, double.writes()) == (0, [])


def test_yaml_of_the_users_gets_the_same_digest(project: Path, registry: str, base_image: str) -> None:
    """`dynamo resolve` pushes what is missing, once, and writes what `deploy` writes."""
    place = f"{registry}/test/{secrets.token_hex(6)}"
    arguments = ("--registry", place, "--base", base_image)
    tag = dynamo("get", "-o", "name", folder=project).stdout.strip()
    (project / "pod.yaml").write_text(f"# mine\nimage: dynamo://{tag}/Frontend\n")
    first = dynamo("resolve", "-f", "pod.yaml", *arguments, folder=project)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"# mine\nimage: {place}/frontend@sha256:")
    assert dynamo("resolve", "-f", "pod.yaml", *arguments, folder=project).stdout == first.stdout
    reference = first.stdout.split()[-1]
    assert reference in dynamo("deploy", *arguments, "--nats", "nats://a.example:4222", folder=project).stdout
