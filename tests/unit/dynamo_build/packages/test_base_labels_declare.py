"""What the base that a project declares brings into its build."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.errors import RegistryError
from dynamo_build.events import Noted
from dynamo_build.graph.discover import find
from dynamo_build.model.plan import BuildOptions, Lock, LockedPackage
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages import lockfile
from dynamo_build.packages.base_labels import declare
from dynamo_build.packages.requirements import require
from dynamo_build.seams import Registry
from support import handmade
from support.projects import write_project

SAID = [
    {"name": "Torch_Nightly", "version": "2.5.1+cu124", "imports": ["torch", "functorch"]},
    {"name": "pydantic", "version": "2.9.0", "imports": ["pydantic"]},
    {"name": "old", "version": "1"},
    {"name": 3},
    "noise",
]
AROUND = catalog.surroundings()


def base(folder: Path, labels: dict[str, str]) -> str:
    """A base image with these labels, by its tag."""
    return str(handmade.base_folder(folder / "base", handmade.image(labels=labels)))


def unreachable(reference: ImageReference) -> Registry:
    raise RegistryError("the registry is not there")


def declared(
    project: Path, tag: str, registry: Callable[[ImageReference], Registry] = AROUND.registry, **options: object
) -> BuildOptions:
    return declare(BuildOptions(base=tag, **options), project, registry, project.parent / "cache")  # type: ignore[arg-type]


def test_packages_and_modules_come_from_the_label(tmp_path: Path) -> None:
    """Exact versions without their local part; what is no entry is passed over."""
    project = write_project(tmp_path / "p", {"uv.lock": '[[package]]\nname = "pydantic"\nversion = "2.5"\n'})
    found = declared(project, base(tmp_path, {"dynamo.packages": json.dumps(SAID)}))
    assert found.base_packages == ("old==1", "pydantic==2.9.0", "torch-nightly==2.5.1")
    assert found.base_modules == ("functorch", "pydantic", "torch")
    assert found.base.startswith("oci:") and "@sha256:" in found.base
    assert require(project, [], found)[0].constraints == found.base_packages


def test_a_base_without_the_label_provides_nothing(tmp_path: Path) -> None:
    """One line says so; a project without a base is asked nothing."""
    notes: list[object] = []
    project = write_project(tmp_path / "p")
    options = BuildOptions(base=base(tmp_path, {}))
    found = declare(options, project, AROUND.registry, tmp_path / "cache", notes.append)
    assert (found.base_packages, found.base_modules) == ((), ())
    (note,) = notes
    assert isinstance(note, Noted) and "provides no packages" in note.text
    assert declare(BuildOptions(), project, unreachable, tmp_path / "cache") == BuildOptions()


def test_the_lock_keeps_which_image_it_was(tmp_path: Path) -> None:
    """A second build asks no registry and gets the same, whatever the tag names by then; `--upgrade` looks again."""
    project = write_project(tmp_path / "p")
    tag = base(tmp_path, {"dynamo.packages": json.dumps(SAID)})
    first = declared(project, tag)
    wanted, _, _ = require(project, [], first)
    lock = Lock(python="3.11", packages={"linux/amd64": (LockedPackage(name="a", version="1"),)})
    (project / lockfile.NAME).write_bytes(lockfile.dump(lock, wanted))
    assert lockfile.fits(project / lockfile.NAME, wanted)
    assert lockfile.load(project / lockfile.NAME)[1].packages == lock.packages
    handmade.base_folder(tmp_path / "base", handmade.image(b"another", labels={"dynamo.packages": "[]"}))
    assert declared(project, tag, unreachable) == first
    with pytest.raises(RegistryError):
        declared(project, tag, unreachable, upgrade=True)
    assert declared(project, tag, upgrade=True).base_packages == ()


def test_modules_of_the_base_are_stood_in_for(tmp_path: Path) -> None:
    """A graph may import what the base alone has."""
    text = "import functorch\nfrom dynamo.sdk import service\n@service\nclass A:\n    size = functorch.vmap\n"
    project = write_project(tmp_path / "p", {"m.py": text})
    options = declared(project, base(tmp_path, {"dynamo.packages": json.dumps(SAID)}))
    assert find("m:A", project, options).graph.stand_ins == ("functorch",)
