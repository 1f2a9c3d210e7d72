"""One distribution from outside with a locker, a builder and a registry drives the commands of each kind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dynamo_build.oci import layout
from support import handmade
from support.command_line import dynamo

HELLO = """
from dynamo.sdk import api, service

@service
class Frontend:
    @api
    async def generate(self, text: str):
        yield text
"""
ENTRY_POINTS = """
[dynamo.lockers]
tiny = tiny_seams:TinyLocker

[dynamo.builders]
tiny = tiny_seams:TinyBuilder

[dynamo.registries]
tiny = tiny_seams:TinyRegistry
"""
MODULE = '''
"""The least that each seam asks for."""

from pathlib import Path

from dynamo_build.errors import RegistryError
from dynamo_build.events import Noted
from dynamo_build.model.image import Image, ToRegistry
from dynamo_build.model.plan import Lock
from dynamo_build.model.reference import Digest
from dynamo_build.oci import layout


class TinyLocker:
    def __init__(self, surroundings):
        pass

    def lock(self, wanted, project, on):
        on(Noted(text=f"tiny locks for {', '.join(wanted.platforms)}"))
        return Lock(python=wanted.python, packages={platform: () for platform in wanted.platforms})


class TinyBuilder:
    """Names the base anew."""

    def __init__(self, surroundings):
        self.registry = surroundings.registry

    def problems(self, plan, to):
        return () if isinstance(to, ToRegistry) else ("tiny delivers to registries alone",)

    def build(self, plan, to, on):
        image = self.registry(plan.base).pull(plan.base, plan.platform)
        digest = self.registry(to.references[0]).push(image, to.references, on)
        return Image(
            reference=str(to.references[0].with_digest(digest)), digest=str(digest), config_digest=image.config_digest,
            platform=plan.platform, size=image.size, base=str(plan.base), services=plan.services, builder="tiny",
        )


class TinyRegistry:
    """Images in folders below $TINY_REGISTRY."""

    def __init__(self, surroundings):
        self.root = Path(surroundings.environment["TINY_REGISTRY"])

    def folder(self, reference):
        assert reference.scheme == "tiny", reference
        folder = self.root / reference.path
        if not folder.is_dir():
            raise RegistryError(f"`{reference}` is not there", status=404)
        return folder

    def resolve(self, reference):
        return Digest.parse(layout.resolve(self.folder(reference), reference.tag, reference.digest))

    def pull(self, reference, platform):
        return layout.read(self.folder(reference), platform, reference.tag, reference.digest)

    def push(self, image, to, on):
        folder = self.root / to[0].path
        return Digest.parse(layout.write(folder, image, tuple(item.tag or "latest" for item in to), lambda _: None))
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and the distribution `tiny-seams` as an installer would have left it."""
    site = tmp_path / "site"
    information = site / "tiny_seams-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "tiny_seams.py").write_text(MODULE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-seams\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.setenv("TINY_REGISTRY", str(tmp_path / "registry"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "hello.py").write_text(HELLO)
    return folder


def run(project: Path, *arguments: str, code: int = 0) -> CompletedProcess[str]:
    done = dynamo(*arguments, folder=project)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def bento(project: Path) -> str:
    """A bento that the tiny locker locked."""
    return run(project, "build", "hello:Frontend", "--locker", "tiny", "-o", "name").stdout.strip()


def test_a_locker(project: Path) -> None:
    """It is asked where dynamo.lock does not fit, and what it gives is written there."""
    done = run(project, "build", "hello:Frontend", "--locker", "tiny")
    assert "tiny locks for linux/amd64" in done.stderr
    assert (project / "dynamo.lock").is_file()
    manifest = json.loads(run(project, "get", "-o", "json").stdout)
    assert manifest["lock"]["packages"] == {"linux/amd64": []}
    assert "tiny" not in run(project, "build", "hello:Frontend", "--locker", "tiny").stderr
    wrong = run(project, "build", "hello:Frontend", "--locker", "tony", "--upgrade", code=2)
    assert "there is no locker `tony`" in wrong.stderr
    assert "Did you mean `tiny`?" in wrong.stderr


def test_a_builder(project: Path, bento: str, tmp_path: Path) -> None:
    """It builds by its name; what it cannot is refused with its words."""
    base = str(handmade.base_folder(tmp_path / "base"))
    arguments = ("containerize", bento, "--base", base, "--builder", "tiny")
    done = run(project, *arguments, "-t", "tiny:team/app:1", "--push", "-o", "json")
    image = json.loads(done.stdout)
    assert image["builder"] == "tiny"
    assert image["reference"] == f"tiny:team/app:1@{image['digest']}"
    assert layout.resolve(tmp_path / "registry/team/app", "1", "") == image["digest"]
    refused = run(project, *arguments, "--output-dir", str(tmp_path / "out"), code=12)
    assert "tiny delivers to registries alone" in refused.stderr


def test_a_registry_of_bentos(project: Path, bento: str, tmp_path: Path) -> None:
    """A bento goes there and comes back the same."""
    reference = run(project, "push", bento, "tiny:bentos/frontend", "-o", "name").stdout.strip()
    assert reference.startswith("tiny:bentos/frontend:")
    run(project, "delete", bento, "--yes")
    assert run(project, "pull", reference, "-o", "name").stdout.strip() == bento
    run(project, "verify", bento)
    missing = run(project, "pull", "tiny:bentos/other:1", code=13)
    assert "`tiny:bentos/other:1` is not there" in missing.stderr


def test_a_registry_of_images(project: Path, bento: str, tmp_path: Path) -> None:
    """The default builder pushes there and builds upon what is there."""
    base = str(handmade.base_folder(tmp_path / "base"))
    arguments = ("containerize", bento, "--bytecode", "none", "--push", "-o", "json")
    first = json.loads(run(project, *arguments, "--base", base, "-t", "tiny:team/app:1").stdout)
    again = json.loads(run(project, *arguments, "--base", base, "-t", "tiny:team/app:2").stdout)
    assert first["digest"] == again["digest"]
    inspected = run(project, "image", "size", "tiny:team/app:1", "-o", "json")
    assert json.loads(inspected.stdout)["digest"] == first["digest"]
    above = json.loads(run(project, *arguments, "--base", "tiny:team/app:1", "-t", "tiny:team/above:1").stdout)
    assert above["base"].startswith("tiny:team/app:1@sha256:")


def test_what_a_registry_lacks_is_refused_by_name(project: Path, bento: str, tmp_path: Path) -> None:
    """The optional methods; and a scheme that no distribution provides."""
    base = str(handmade.base_folder(tmp_path / "base"))
    run(project, "containerize", bento, "--base", base, "--builder", "tiny", "-t", "tiny:team/app:1", "--push")
    refused = run(project, "image", "copy", "tiny:team/app:1", f"oci:{tmp_path}/copy:1", code=13)
    assert "the registry `tiny` has no `document`" in refused.stderr
    attested = ("--push", "--attest", "-t", "tiny:team/attested:1")
    refused = run(project, "containerize", bento, "--base", base, "--builder", "tiny", *attested, code=13)
    assert "the registry `tiny` has no `document`" in refused.stderr
    assert not (tmp_path / "registry/team/attested").exists()
    unknown = run(project, "push", bento, "tinny:bentos/frontend", code=2)
    assert "there is no registry `tinny`" in unknown.stderr
    assert "Did you mean `tiny`?" in unknown.stderr
    unpushed = run(project, "containerize", bento, "--base", base, "-t", "tiny:team/app:1", code=2)
    assert "Add `--push`." in unpushed.stderr
