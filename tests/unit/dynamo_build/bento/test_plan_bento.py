"""What will be packed, and every problem of a project at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.bento.plan_bento import plan_bento
from dynamo_build.errors import GraphError, UsageError
from dynamo_build.model.plan import BuildOptions
from support.projects import GRAPH, planned, write_project


def test_a_plan_names_files_packages_and_the_bento(tmp_path: Path) -> None:
    """The name is the entry service's in lower case."""
    found = planned(write_project(tmp_path / "p", {"data/x.json": "{}"}))
    assert found.name == "frontend"
    assert [file.path for file in found.files] == ["data/x.json", "graph.py"]
    assert found.size == sum(file.size for file in found.files)
    assert found.requirements.platforms == ("linux/amd64",)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """A link out, a secret, a package by path, a module that is ignored: one error that holds them all."""
    project = write_project(tmp_path / "p", {".env": "X=1", "requirements.txt": "-e .\n", ".gitignore": "graph.py\n"})
    (project / "out").symlink_to("/etc")
    with pytest.raises(GraphError, match="4 problems") as caught:
        planned(project)
    files = {problem.where.file for problem in caught.value.problems}
    assert files == {"out", "graph.py", ".env", "requirements.txt"}
    assert all(problem.hint for problem in caught.value.problems)


def test_modules_outside_the_project_are_problems(tmp_path: Path) -> None:
    """What the graph imports must be inside."""
    with pytest.raises(GraphError) as caught:
        plan_bento(GRAPH, ["../shared.py"], write_project(tmp_path / "p"), BuildOptions())
    assert "outside" in caught.value.problems[0].message


def test_a_budget(tmp_path: Path) -> None:
    """More bytes than the budget allows are a problem."""
    project = write_project(tmp_path / "p", {"big": "x" * 1000})
    planned(project, budget=2000)
    with pytest.raises(GraphError):
        planned(project, budget=500)


def test_large_files_are_pointed_out(tmp_path: Path) -> None:
    """From the size on that the settings say, or never."""
    project = write_project(tmp_path / "p", {"big": "x" * (2 << 20), "small": "x"})
    (warning,) = planned(project, warn_size=1 << 20).warnings
    assert (warning.where.file, warning.message) == ("big", "it is large (2 MiB)")
    assert planned(project, warn_size=0).warnings == () == planned(project).warnings


@pytest.mark.parametrize("options", [{"name": "Not Good"}, {"version": "latest"}, {"version": "../x"}])
def test_names_that_are_none(tmp_path: Path, options: dict[str, str]) -> None:
    """A wrong name or version is refused before anything is read."""
    with pytest.raises(UsageError):
        planned(write_project(tmp_path / "p"), **options)


@pytest.mark.parametrize("setting", ["include", "exclude", "allow_secrets"])
def test_a_setting_that_is_no_pattern_is_told(tmp_path: Path, setting: str) -> None:
    """By its name."""
    with pytest.raises(UsageError, match=f"`{setting}` contains the invalid pattern"):
        planned(write_project(tmp_path / "p"), **{setting: ("ok", "[z-a]")})
