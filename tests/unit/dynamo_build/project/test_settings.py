"""Settings and where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.project import settings


def test_flags_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """Each value remembers its source."""
    (tmp_path / "pyproject.toml").write_text('[tool.dynamo.build]\nname = "a"\npython = "3.12"\nexclude = ["x"]\n')
    environment = {"DYNAMO_BUILD_PYTHON": "3.13", "DYNAMO_BUILD_EXCLUDE": "y, z", "DYNAMO_IMAGE": "ignored:1"}
    found = settings.load(tmp_path, environment, {"build.exclude": ["q"], "build.timeout": None})
    assert (found["build.name"], found.source("build.name")) == ("a", "pyproject.toml")
    assert (found["build.python"], found.source("build.python")) == ("3.13", "DYNAMO_BUILD_PYTHON")
    assert (found["build.exclude"], found.source("build.exclude")) == (("q",), "--exclude")
    assert (found["build.timeout"], found.source("build.timeout")) == (60.0, "default")
    assert found.build_options().base == ""


def test_dynamo_yaml(tmp_path: Path) -> None:
    """The same settings in YAML; a setting in both files is an error."""
    (tmp_path / "dynamo.yaml").write_text("build:\n  labels: {team: x}\nimage:\n  base: reg/base:1\n")
    options = settings.load(tmp_path, {}, {}).build_options()
    assert (dict(options.labels), options.base) == ({"team": "x"}, "reg/base:1")
    (tmp_path / "pyproject.toml").write_text('[tool.dynamo.image]\nbase = "b"\n')
    with pytest.raises(UsageError, match=r"`image\.base` is set in dynamo\.yaml and in pyproject\.toml"):
        settings.load(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tool.dynamo.build]\npyhton = "3.12"', "unknown setting"),
        ("[tool.dynamo.build]\npython = 3.12", "3.12"),
        ("[tool.dynamo]\nx = 1", "unknown setting"),
        ("[tool.dynamo.build", "cannot be read"),
        ("[tool.dynamo.build]\nplatforms = ['linux/riscv']", "unsupported platform"),
        ("tool.dynamo = 3", "not a table"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong is named."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        settings.load(tmp_path, {}, {}).build_options()


@pytest.mark.parametrize("text", ["[", "- a", "build: 3", "a: {b: 1}", "\t"])
def test_wrong_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    """The file is named."""
    (tmp_path / "dynamo.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"dynamo\.yaml"):
        settings.load(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("name", "value"), [("DYNAMO_BUILD_STRICT", "maybe"), ("DYNAMO_BUILD_TIMEOUT", "x"), ("DYNAMO_BUILD_LABELS", "x")]
)
def test_wrong_variables_are_one_line(tmp_path: Path, name: str, value: str) -> None:
    """The variable is named."""
    with pytest.raises(UsageError, match=name):
        settings.load(tmp_path, {name: value}, {})


def test_settings_of_deployments(tmp_path: Path) -> None:
    """Options of a target keep their form; no setting of a deployment reaches a build."""
    lines = (
        "[tool.dynamo.deploy]",
        'registry = "reg/team"',
        "[tool.dynamo.deploy.options]",
        'tolerations = [{key = "a"}]',
    )
    (tmp_path / "pyproject.toml").write_text("\n".join(lines))
    found = settings.load(tmp_path, {"DYNAMO_DEPLOY_NAMESPACE": "prod"}, {"deploy.registry": None})
    assert (found["deploy.registry"], found["deploy.namespace"]) == ("reg/team", "prod")
    assert found["deploy.options"] == {"tolerations": [{"key": "a"}]}
    assert found.build_options().name == ""
