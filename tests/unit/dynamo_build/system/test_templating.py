"""Templates: found, strict, and harmless when they come from outside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dynamo_build.errors import UsageError
from dynamo_build.system import templating


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(templating, "templates_folder", lambda: tmp_path)
    return tmp_path


def test_a_checkout_uses_its_own_templates() -> None:
    """Beside the package, so that an edit shows at once."""
    assert templating.templates_folder() == Path(templating.__file__).parents[2] / "templates"


def test_a_wheel_uses_those_it_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has no checkout beside it."""
    monkeypatch.setattr(templating, "_PACKAGE", tmp_path / "site" / "dynamo_build")
    templating.templates_folder.cache_clear()
    try:
        assert templating.templates_folder() == tmp_path / "site" / "dynamo_build" / "templates"
    finally:
        templating.templates_folder.cache_clear()


def test_a_name_that_is_not_there_is_an_error(folder: Path) -> None:
    """A misspelt name never renders as nothing."""
    (folder / "x.j2").write_text("{{ image.nmae }}")
    with pytest.raises(UndefinedError):
        templating.render_template("x.j2", image={"name": 1})


def test_exactly_one_variable(folder: Path) -> None:
    """A template's input is one value."""
    (folder / "x.j2").write_text("{{ a }}\n")
    assert templating.render_template("x.j2", a=1) == "1\n"
    with pytest.raises(TypeError):
        templating.render_template("x.j2", a=1, b=2)


def test_every_template_is_listed_with_its_variable() -> None:
    """The README beside the templates names each one's variable, and no others are used."""
    listed = (templating.templates_folder() / "README.md").read_text()
    for template in templating.templates_folder().rglob("*.j2"):
        name = template.relative_to(templating.templates_folder()).as_posix()
        row = re.search(rf"^\| `{re.escape(name)}` \| `(\w+)` \|", listed, re.MULTILINE)
        assert row, f"{name} is not in templates/README.md"


def test_an_extension_changes_a_block(folder: Path) -> None:
    """A template of the user's extends ours by its name."""
    (folder / "x.j2").write_text("a {% block middle %}{{ v }}{% endblock %} c\n")
    text = '{% extends "x.j2" %}{% block middle %}[{{ super() }}]{% endblock %}'
    assert templating.render_extension(text, "x.j2", v=1) == "a [1] c\n"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\n{% block %}", "is wrong at line 2"),
        ("{{ nothing }}", "cannot be rendered: 'nothing' is undefined"),
        ("{% extends 'gone.j2' %}", "cannot be rendered: 'gone.j2' not found|cannot be rendered: gone.j2"),
        ("{{ v.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|undefined"),
        ("{% include '../README.md' %}", "cannot be rendered"),
        ("{% include '/etc/passwd' %}", "cannot be rendered"),
        ("{{ 1 // 0 }}", "cannot be rendered"),
        ("{% for a in range(999999999) %}x{% endfor %}", "cannot be rendered"),
    ],
)
def test_an_extension_that_is_wrong_is_one_line(folder: Path, text: str, seen: str) -> None:
    """What a project's template does wrong, or should not do, is told and goes no further."""
    (folder / "x.j2").write_text("x")
    with pytest.raises(UsageError, match=seen):
        templating.render_extension(text, "x.j2", v=1)
