"""Options of a bentofile that we read, and those that we name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.project import settings

FILE = """
service: "service:Svc"
name: mine
labels: {team: a}
include: ["*.py"]
exclude: ["tests/"]
python:
  packages: ["numpy>=2"]
  requirements_txt: needs/serving.txt
  wheels: [wheels/odd-1.0-py3-none-any.whl]
  lock_packages: false
  extra_index_url: ["https://example.com/simple"]
docker:
  python_version: "3.12"
  base_image: registry.example/base:1
  system_packages: [libgomp1]
  distro: debian
  cuda_version: "12.4"
"""
REQUIREMENTS = ("numpy>=2", "-r needs/serving.txt", "./wheels/odd-1.0-py3-none-any.whl")


def test_what_makes_sense_is_read_and_the_rest_is_named(tmp_path: Path) -> None:
    """Settings with their source; one line for each option that is not taken over."""
    (tmp_path / "bentofile.yaml").write_text(FILE)
    found = settings.load_settings(tmp_path, {}, {})
    options = found.build_options()
    assert (options.name, options.python, options.base) == ("mine", "3.12", "registry.example/base:1")
    assert (options.include, options.exclude, options.requirements) == (("*.py",), ("tests/",), REQUIREMENTS)
    assert (dict(options.labels), options.system_packages) == ({"team": "a"}, ("libgomp1",))
    assert found.get_source("build.python") == "bentofile.yaml"
    named = [note.split("`")[1] for note in found.notes]
    assert named == ["service", "python.lock_packages", "python.extra_index_url", "docker.cuda_version"]


def test_pyproject_and_precedence(tmp_path: Path) -> None:
    """`[tool.bentoml.build]` is read the same; our own settings win."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.bentoml.build]\nname = "theirs"\nexclude = ["x"]\n[tool.dynamo.build]\nname = "ours"\n'
    )
    found = settings.load_settings(tmp_path, {}, {})
    assert (found["build.name"], found["build.exclude"], found.notes) == ("ours", ("x",), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inclode: [x]", "unknown option `inclode`"),
        ("python: {package: [x]}", r"unknown option `python\.package`"),
        ("python: {wheels: [3]}", r"`python\.wheels`"),
        ("docker: 3", "`docker`"),
        ("- a", "not a mapping"),
        ("include: 3", r"`build\.include` of bentofile\.yaml is 3"),
        ("[", r"bentofile\.yaml"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong is named."""
    (tmp_path / "bentofile.yaml").write_text(text)
    with pytest.raises(UsageError, match=words):
        settings.load_settings(tmp_path, {}, {})
