"""New projects: what is written, and that nothing that is there is touched."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.errors import UsageError
from dynamo_build.project.scaffold import list_templates, write_project


@pytest.mark.parametrize("template", list_templates())
def test_every_template_is_sound(template: str, tmp_path: Path) -> None:
    """Python parses, YAML and TOML load, the module goes by the folder's name."""
    files = write_project(tmp_path / "My graph-2", template)
    assert (tmp_path / "My graph-2" / "my_graph_2.py") in files
    for path in files:
        text = path.read_text()
        assert "{{" not in text and "{%" not in text
        if path.suffix == ".py":
            ast.parse(text)
        elif path.suffix == ".yaml":
            assert yaml.safe_load(text)
        elif path.suffix == ".toml":
            assert tomllib.loads(text)["project"]["name"] == "my-graph-2"


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    """One file in the way, and none is written; the file is named."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md of .*app would be overwritten"):
        write_project(tmp_path / "app", "hello")
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["README.md"]
    assert (tmp_path / "app" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["json", "dynamo", "class", "4x", "…", "äpfel"])
def test_names_that_no_module_can_have(name: str, tmp_path: Path) -> None:
    """A module of the standard library, ours, a keyword, a digit first, nothing left: refused, nothing made."""
    with pytest.raises(UsageError, match="cannot be the name of a module"):
        write_project(tmp_path / "app", "hello", name)
    assert not (tmp_path / "app").exists()


def test_an_unknown_template_names_the_known(tmp_path: Path) -> None:
    """The hint lists what there is."""
    with pytest.raises(UsageError) as failed:
        write_project(tmp_path / "app", "helo")
    assert "hello" in failed.value.hints[0]


@given(name=st.text(max_size=20))
def test_any_name_is_refused_or_makes_a_module(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the name, what is written parses."""
    folder = tmp_path_factory.mktemp("p")
    try:
        files = write_project(folder / "app", "hello", name or "x")
    except UsageError:
        return
    module = next(path for path in files if path.suffix == ".py")
    assert module.stem.isidentifier() and module.stem.isascii()
    ast.parse(module.read_text())
