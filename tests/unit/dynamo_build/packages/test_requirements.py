"""Which packages a project asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.model.plan import BuildOptions, Requirements
from dynamo_build.packages import runtime_wheel
from dynamo_build.packages.requirements import require
from support.projects import write_project

BLOCK = '# /// script\n# dependencies = ["from-block>=1"]\n# ///\n'


def wanted(project: Path, **options: object) -> Requirements:
    found, problems, warnings = require(project, ["graph.py"], BuildOptions(**options))  # type: ignore[arg-type]
    assert (problems, warnings) == ([], [])
    return found


def test_every_source_and_the_runtime(tmp_path: Path) -> None:
    """pyproject, requirements with an include, the PEP 723 block, settings, and always the runtime's own."""
    project = write_project(
        tmp_path / "p",
        {
            "graph.py": BLOCK,
            "pyproject.toml": '[project]\nname = "x"\ndependencies = ["from-pyproject", "dynamo-runtime"]\n',
            "requirements.txt": "from-file == 1.0 \\\n  --hash=sha256:00  # why\n-r more.txt\n# comment\n",
            "more.txt": "from-include[x]; python_version > '3'\n-r requirements.txt\n",
        },
    )
    found = wanted(project, requirements=("from-settings",))
    own = {
        "from-block>=1",
        "from-pyproject",
        "from-file == 1.0",
        "from-include[x]; python_version > '3'",
        "from-settings",
    }
    assert set(found.lines) == own | set(runtime_wheel.requirements())
    assert list(found.lines) == sorted(found.lines)


def test_the_settings_may_name_a_file(tmp_path: Path) -> None:
    """Relative to the project; one that is not there is a problem."""
    project = write_project(tmp_path / "p", {"needs/serving.txt": "from-named\n"})
    assert "from-named" in wanted(project, requirements=("-r needs/serving.txt",)).lines
    assert require(project, [], BuildOptions(requirements=("-r none.txt",)))[1]


def test_a_project_without_packages_has_the_runtimes(tmp_path: Path) -> None:
    """Nothing asked for still locks what the runtime needs."""
    assert wanted(write_project(tmp_path / "p")).lines == tuple(sorted(runtime_wheel.requirements()))


@pytest.mark.parametrize(
    "line",
    [
        *("-e .", ".", "./here", "pkg @ file:///x", "-c constraints.txt", "ai-dynamo>=0.3", "https://x/y.whl"),
        *("./graph.py", "x.tar.gz", "none.whl"),
    ],
)
def test_what_cannot_be_locked_is_a_problem(tmp_path: Path, line: str) -> None:
    """File and line are named."""
    project = write_project(tmp_path / "p", {"requirements.txt": f"\n{line}\n"})
    (problem,) = require(project, [], BuildOptions())[1]
    assert str(problem.where) == "requirements.txt:2"
    assert problem.hint


@pytest.mark.parametrize("line", ["requests>=>1", "requests 2", "requests==", "a,b", "x[", "x @", "-", "x; ", "é"])
def test_a_misspelt_requirement_is_a_problem(tmp_path: Path, line: str) -> None:
    """At its line, before any program is asked."""
    project = write_project(tmp_path / "p", {"requirements.txt": f"a==1\n{line}\n"})
    (problem,) = require(project, [], BuildOptions())[1]
    assert str(problem.where) == "requirements.txt:2" and problem.hint


@pytest.mark.parametrize(
    "line",
    [
        *("a", "a.b_c-d", "a==1", "a ~= 1.4.2", "a>=1,<2", "a[x]", "a[x,y]>=1", "a (>=1,<2)", "a==1.*", "a===1+local"),
        *(
            "a; python_version>'3'",
            "a>=1 ; sys_platform == 'linux'",
            "a @ git+https://example.com/a.git@main",
            "a!=1!2",
        ),
        *("a @ git+ssh://git@example.com/a.git", "a @ https://example.com/a.whl ; extra == 'x'"),
    ],
)
def test_requirements_of_every_form_are_taken(tmp_path: Path, line: str) -> None:
    """What PEP 508 allows."""
    assert line in wanted(write_project(tmp_path / "p", {"requirements.txt": f"{line}\n"})).lines


def test_a_password_in_an_address_is_refused(tmp_path: Path) -> None:
    """It would be recorded; the message does not repeat it."""
    project = write_project(tmp_path / "p", {"requirements.txt": "a @ git+https://me:hunter2@example.com/a.git\n"})
    found, (problem,), _ = require(project, [], BuildOptions())
    assert "password" in problem.message and "hunter2" not in problem.message + problem.hint + str(found)


def test_index_addresses_are_not_read(tmp_path: Path) -> None:
    """A warning that does not repeat the address, and so no password in it."""
    project = write_project(tmp_path / "p", {"requirements.txt": "--index-url https://user:pass@host/simple\na\n"})
    found, problems, warnings = require(project, [], BuildOptions())
    assert problems == []
    assert "pass" not in str(warnings) and len(warnings) == 1
    assert "pass" not in str(found)


@pytest.mark.parametrize(
    ("setting", "file", "python"), [("", "", "3.11"), ("", "3.12.4\n", "3.12"), ("3.13", "3.12", "3.13")]
)
def test_which_python(tmp_path: Path, setting: str, file: str, python: str) -> None:
    """The setting, else `.python-version`, else 3.11: never that of this machine."""
    project = write_project(tmp_path / "p", {".python-version": file} if file else {})
    assert wanted(project, python=setting).python == python


@pytest.mark.parametrize("python", ["2.7", "3.10", "pypy3.11", "three"])
def test_a_python_that_is_none(tmp_path: Path, python: str) -> None:
    """It is a problem, with what to use."""
    assert require(write_project(tmp_path / "p"), [], BuildOptions(python=python))[1]


def test_an_existing_lock_constrains(tmp_path: Path) -> None:
    """Exact versions of uv.lock are kept; packages of the project itself are not."""
    text = """
version = 1
[[package]]
name = "x"
version = "0"
source = { virtual = "." }
[[package]]
name = "Pydantic_Core"
version = "2.5"
source = { registry = "https://user:pass@host/simple" }
"""
    assert wanted(write_project(tmp_path / "p", {"uv.lock": text})).constraints == ("pydantic-core==2.5",)


def test_damaged_metadata_is_one_line(tmp_path: Path) -> None:
    """A pyproject.toml or a PEP 723 block that is no TOML is named."""
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        wanted(write_project(tmp_path / "p", {"pyproject.toml": "["}))
    project = write_project(tmp_path / "q", {"graph.py": "# /// script\n# [\n# ///\n"})
    assert require(project, ["graph.py"], BuildOptions())[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dependencies = 3", "`dependencies` is not a list of strings"),
        ('dependencies = ["a", 3]', "`dependencies` is not a list of strings"),
        ('dynamic = ["dependencies"]', "`dependencies` is dynamic, and the build backend is not run to compute them"),
        ("dynamic = 3", ""),
    ],
)
def test_dependencies_that_cannot_be_read_are_told(tmp_path: Path, text: str, told: str) -> None:
    """Not passed over: the image would not have them."""
    project = write_project(tmp_path / "p", {"pyproject.toml": f'[project]\nname = "x"\n{text}\n'})
    _, problems, warnings = require(project, [], BuildOptions())
    assert [problem.message for problem in (*problems, *warnings)] == [told] * bool(told)


def test_dynamic_dependencies_may_stand_in_a_file(tmp_path: Path) -> None:
    """Where most projects have them."""
    files = {"pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n', "requirements.txt": "own>=1\n"}
    assert "own>=1" in wanted(write_project(tmp_path / "p", files)).lines


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Without where it would be on this machine."""
    _, (problem,), _ = require(
        write_project(tmp_path / "p", {"requirements.txt": "-r other.txt\n"}), [], BuildOptions()
    )
    assert (problem.where.file, problem.message) == ("other.txt", "it cannot be read: no such file or directory")
