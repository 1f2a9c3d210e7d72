"""A target from another distribution drives every form of `dynamo deploy`; each target's name stands in one place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.bento import bento_yaml
from support import handmade

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example.com/hello@sha256:" + "a" * 64
TARGET = '''
"""A target that lists services, one line for each."""
from pathlib import Path

from dynamo_build.model.deployment import Finding, Manifest, Manifests


class Plain:
    def __init__(self, surroundings):
        self.surroundings = surroundings

    def render(self, deployment):
        document = {"services": {one.service: one.image for one in deployment.workloads}}
        return Manifests(
            deployment=deployment.name,
            namespace=deployment.namespace,
            target=deployment.target,
            items=(Manifest(document=document, file="services"),),
        )

    def apply(self, manifests, on):
        applying = self.surroundings.applying
        Path(self.surroundings.environment["APPLIED"]).write_text(f"{manifests.deployment} wait={applying.wait:g}")
        return manifests.deployment


class Escaping(Plain):
    def render(self, deployment):
        found = super().render(deployment)
        item = Manifest(document=found.items[0].document, file="../services")
        return Manifests(deployment=found.deployment, namespace="", target=found.target, items=(item,))


class Full(Plain):
    trees = ("helm",)

    def check(self, manifests, *, strict, version):
        return (Finding(where="services", path="a", message=f"strict={strict}", warning=True),)

    def reach(self):
        pass

    def diff(self, manifests):
        return ("services.a: added",)

    def write_tree(self, form, manifests, deployment):
        return {"Chart.yaml": f"name: {deployment.name}\\n"}
'''


@pytest.fixture
def dynamo(tmp_path: Path) -> object:
    """`dynamo deploy` in a process that has the other distribution on its path."""
    site = tmp_path / "site"
    info = site / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "elsewhere.py").write_text(TARGET)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dynamo.targets]\nplain = elsewhere:Plain\nfull = elsewhere:Full\nescaping = elsewhere:Escaping\nbroken = elsewhere:Absent\n"
    )
    folder = tmp_path / "home/bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(bento.manifest))
    (folder / "build.json").write_text("{}")
    environment = {
        **os.environ,
        "DYNAMO_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
        "APPLIED": str(tmp_path / "applied"),
    }
    project = tmp_path / "project"
    project.mkdir()

    def run(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dynamo_build", "deploy", "hello:abc", "--target", target]
        return subprocess.run(
            [*command, "--set-image", IMAGE, *arguments], env=environment, cwd=project, capture_output=True, text=True
        )

    return run


def test_it_renders_plans_and_writes(dynamo: object, tmp_path: Path) -> None:
    """The manifests of the other target, on stdout, in a plan and in a folder."""
    done = dynamo("plain")
    assert (done.returncode, IMAGE in done.stdout) == (0, True), done.stderr
    planned = json.loads(dynamo("plain", "--dry-run", "-o", "json").stdout)
    assert (planned["target"], planned["state"], planned["objects"]) == ("plain", "planned", ["services file"])
    assert dynamo("plain", "--output-dir", str(tmp_path / "out")).returncode == 0
    assert IMAGE in (tmp_path / "out/services.yaml").read_text()


def test_it_applies(dynamo: object, tmp_path: Path) -> None:
    """How to apply reaches it as typed values."""
    assert dynamo("plain", "--wait", "--timeout", "90s").returncode == 0
    assert (tmp_path / "applied").read_text() == "hello wait=90"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--check"], "the target `plain` has no checks"),
        (["--diff"], "the target `plain` has nothing to compare with"),
        (["--server-dry-run"], "the target `plain` has no server to ask"),
        (["--format", "helm", "--output-dir", "out"], "the target `plain` has no form `helm`"),
    ],
)
def test_what_it_does_not_offer_is_refused_by_name(dynamo: object, arguments: list[str], refusal: str) -> None:
    """One line, and the exit code of a usage error."""
    done = dynamo("plain", *arguments)
    assert done.returncode == 2
    assert refusal in done.stderr
    assert "Traceback" not in done.stderr


def test_what_it_offers_is_used(dynamo: object, tmp_path: Path) -> None:
    """Checks, a comparison and a tree of its own."""
    done = dynamo("full", "--check")
    assert (done.returncode, "strict=True" in done.stderr) == (0, True), done.stderr
    assert dynamo("full", "--diff").stdout == "services.a: added\n"
    assert dynamo("full", "--format", "helm", "--output-dir", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out/Chart.yaml").read_text() == "name: hello\n"


def test_one_that_cannot_be_loaded_is_named(dynamo: object) -> None:
    """One line with the entry point, and no traceback."""
    done = dynamo("broken")
    assert done.returncode == 2
    assert "the target `broken` (`elsewhere:Absent`) cannot be loaded: AttributeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_writes_nothing_outside_the_folder(dynamo: object, tmp_path: Path) -> None:
    """A file name that leads out is one line, and nothing is written."""
    done = dynamo("escaping", "--output-dir", str(tmp_path / "out"))
    assert done.returncode == 14
    assert "`../services.yaml`, which is outside the folder" in done.stderr
    assert not (tmp_path / "services.yaml").exists()


def test_an_unknown_target_is_refused(dynamo: object) -> None:
    """With all that are installed."""
    done = dynamo("plian")
    assert done.returncode == 2
    assert "Did you mean `plain`?" in done.stderr


@pytest.mark.parametrize("name", catalog.TARGETS)
def test_the_name_of_a_target_stands_in_one_place(name: str) -> None:
    """No module decides by it; the module that implements a target may run a program of that name."""
    own = catalog.TARGETS.get(name, "").partition(":")[0].replace(".", "/") + ".py"
    literal = re.compile(rf"""["']{re.escape(name)}["']""")
    found = [
        path
        for path in sorted((ROOT / "dynamo_build").rglob("*.py"))
        if literal.search(path.read_text()) and path.relative_to(ROOT).as_posix() != own
    ]
    assert len(found) == 1, found
