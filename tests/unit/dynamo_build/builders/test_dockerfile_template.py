"""A project's own Dockerfile template: from its setting into the bento, and from there into the Dockerfile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.bento import bento_yaml
from dynamo_build.bento.store import compute_version
from dynamo_build.builders.dockerfile import render_dockerfile
from dynamo_build.errors import UsageError
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import ImageReference
from dynamo_build.project import settings
from support import handmade, projects

TEXT = '{% extends "Dockerfile.j2" %}\n{% block system %}\n{{ super() }}\nRUN ldconfig\n{% endblock %}\n'


def test_the_setting_names_a_file_of_the_project(tmp_path: Path) -> None:
    """Its text is in the plan."""
    project = projects.write_project(
        tmp_path / "project",
        {"docker/mine.j2": TEXT, "pyproject.toml": '[tool.dynamo.image]\ndockerfile_template = "docker/mine.j2"\n'},
    )
    options = settings.load_settings(project, {}, {}).build_options()
    assert options.dockerfile_template == "docker/mine.j2"
    assert projects.planned(project, dockerfile_template="docker/mine.j2").dockerfile_template == TEXT
    assert projects.planned(project).dockerfile_template == ""


@pytest.mark.parametrize(("name", "said"), [("missing.j2", "cannot be read"), ("../other.j2", "is not in the project")])
def test_a_file_that_cannot_be_one(tmp_path: Path, name: str, said: str) -> None:
    """Missing or outside: one line."""
    (tmp_path / "other.j2").write_text(TEXT)
    with pytest.raises(UsageError, match=said):
        projects.planned(projects.write_project(tmp_path / "project"), dockerfile_template=name)


def test_the_bento_carries_it(tmp_path: Path) -> None:
    """It decides the version, survives the manifest's file, and is what the Dockerfile is rendered with."""
    bento = handmade.bento(tmp_path)
    manifest = replace(bento.manifest, dockerfile_template=TEXT)
    assert compute_version(manifest) != compute_version(bento.manifest)
    assert bento_yaml.parse_manifest(bento_yaml.format_manifest(manifest)) == manifest
    plan = plan_image(Bento(manifest=manifest, folder=bento.folder), ImageReference.parse("base:1"), "linux/amd64")
    assert "\nRUN ldconfig\n" in render_dockerfile(plan, buildkit=False)
    plain = plan_image(bento, ImageReference.parse("base:1"), "linux/amd64")
    assert "ldconfig" not in render_dockerfile(plain, buildkit=False)
