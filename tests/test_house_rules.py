"""The rules of the house, each with its check."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dynamo_build import catalog, errors
from dynamo_build.cli.app import COMMANDS
from dynamo_build.seams import Surroundings

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*(ROOT / "dynamo_build").rglob("*.py"), *(ROOT / "runtime" / "dynamo").rglob("*.py")])


def loaded_by(code: str) -> set[str]:
    """Modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def test_every_module_says_why_it_exists() -> None:
    """Each module has a docstring."""
    silent = [str(path.relative_to(ROOT)) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_modules_stay_small() -> None:
    """No module grows over 450 lines; most are near 110."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > 450} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150


def test_no_shelf_names() -> None:
    """No module is called utils, helpers, common, base or manager."""
    assert [path for path in MODULES if path.stem in {"utils", "helpers", "common", "base", "manager", "misc"}] == []


def test_the_sdk_loads_only_the_standard_library() -> None:
    """An author's `from dynamo.sdk import …` costs no third-party import."""
    before = loaded_by("pass")
    added = {name.split(".")[0] for name in loaded_by("import dynamo.sdk") - before}
    assert added - set(sys.stdlib_module_names) - {"dynamo"} == set()


def test_public_names_of_the_sdk_are_listed() -> None:
    """`__all__` is complete and names nothing twice; its order is the linter's business."""
    sdk = importlib.import_module("dynamo.sdk")
    assert len(set(sdk.__all__)) == len(sdk.__all__)
    assert [name for name in sdk.__all__ if not hasattr(sdk, name)] == []


def test_help_is_lean() -> None:
    """`dynamo --help` imports no heavy package and no command."""
    loaded = loaded_by(
        "from dynamo_build.cli.app import run\nimport sys\nsys.stdout.flush()\ntry:\n    run(['--help'])\nexcept SystemExit:\n    pass"
    )
    heavy = {
        "pydantic",
        "rich",
        "yaml",
        "jinja2",
        "docker",
        "kubernetes",
        "requests",
        "nats",
        "uvicorn",
        "asyncio",
        "http.client",
    }
    assert loaded & heavy == set()
    ours = {name.split(".")[1] for name in loaded if name.startswith("dynamo_build.")}
    assert ours <= {"cli", "errors", "events", "system"}
    assert len(loaded) < 260


def test_exit_codes_are_unique_and_documented() -> None:
    """Each class of error has an exit code of its own, in its module's tree and in the reference."""
    classes = [
        errors.DynamoError,
        *(cls for cls in everywhere(errors.DynamoError) if cls.__module__ == errors.__name__),
    ]
    codes = [cls.exit_code for cls in classes]
    assert len(set(codes)) == len(codes)
    reference = (ROOT / "docs" / "errors.md").read_text()
    for cls in classes:
        assert f"{cls.__name__} ({cls.exit_code})" in (errors.__doc__ or "")
        assert re.search(rf"\| {cls.exit_code} \|.*`{cls.__name__}`", reference), cls.__name__


def test_no_exit_code_is_made_elsewhere() -> None:
    """An error of another module says more, and exits like its parent."""
    for path in MODULES:
        if path.parts[-2] == "dynamo_build" and "DynamoError" in path.read_text():
            importlib.import_module(f"dynamo_build.{path.stem}")
    for cls in everywhere(errors.DynamoError):
        if cls.__module__ != errors.__name__:
            assert "exit_code" not in vars(cls), cls.__name__


def everywhere(cls: type[errors.DynamoError]) -> list[type[errors.DynamoError]]:
    """All subclasses, however deep."""
    return [found for child in cls.__subclasses__() for found in (child, *everywhere(child))]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command works and holds an example."""
    done = subprocess.run([sys.executable, "-m", "dynamo_build", command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout


@pytest.mark.parametrize("seam", ["locker", "builder", "registry", "target"])
def test_every_entry_of_the_catalogue_loads(seam: str, tmp_path: Path) -> None:
    """The catalogue's strings name classes that take `Surroundings`."""
    table = {
        "locker": catalog.LOCKERS,
        "builder": catalog.BUILDERS,
        "registry": catalog.REGISTRIES,
        "target": catalog.TARGETS,
    }[seam]
    for name in table:
        assert getattr(catalog, seam)(name, Surroundings(environment={}, cache=tmp_path)) is not None


def test_both_distributions_agree() -> None:
    """The toolchain's wheel carries the runtime, so it asks for all that the runtime needs."""
    toolchain = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    runtime = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(runtime) <= set(toolchain)


def test_nothing_names_a_registry_or_a_machine() -> None:
    """No lock with addresses, no package index and no home folder in what is committed."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert "uv.lock" not in tracked
    for name in (".ci/requirements.txt",):
        text = (ROOT / name).read_text()
        assert "--index" not in text and "--find-links" not in text and "://" not in text


def test_the_two_distributions_have_the_same_extras_and_scripts() -> None:
    """The toolchain's distribution carries the runtime's modules, so it has what they need, and the runtime's commands."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    theirs = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text())["project"]
    assert ours["optional-dependencies"] == theirs["optional-dependencies"]
    assert theirs["scripts"].items() <= ours["scripts"].items()
    assert set(theirs["dependencies"]) <= set(ours["dependencies"])
