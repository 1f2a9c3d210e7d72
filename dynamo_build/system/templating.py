"""Rendering of templates: the only module that imports Jinja2. One variable each, none undefined."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dynamo_build.errors import UsageError

_PACKAGE = Path(__file__).parent.parent
#: What expressions in a template can raise; it runs none of our code.
_FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@cache
def templates_folder() -> Path:
    """Where the templates lie: `templates/` beside the package in a checkout, `dynamo_build/templates` in a wheel."""
    beside = _PACKAGE.parent / "templates"
    return beside if (beside / "Dockerfile.j2").is_file() else _PACKAGE / "templates"


def render(template_name: str, **one_variable: object) -> str:
    """The text of one of our templates. Each takes exactly one variable, named in templates/README.md."""
    return _environment().get_template(template_name).render(_only(one_variable))


def render_extension(text: str, template_name: str, **one_variable: object) -> str:
    """The text of a template of the user's that extends ours.

    It comes from a project or a bento, so it runs in Jinja2's sandbox. Raises UsageError with its line.
    """
    mine = f"{template_name} of the project"
    environment = _environment({mine: text})
    try:
        return environment.get_template(mine).render(_only(one_variable))
    except TemplateSyntaxError as error:
        raise UsageError(
            f"the template that extends {template_name} is wrong at line {error.lineno}: {error.message}"
        ) from error
    except _FAILURES as error:
        raise UsageError(
            f"the template that extends {template_name} cannot be rendered: {error}",
            [f"templates/README.md lists the blocks and the one variable of {template_name}."],
        ) from error


def _environment(added: dict[str, str] | None = None) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([DictLoader(added or {}), FileSystemLoader(templates_folder())]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _only(variable: dict[str, object]) -> dict[str, object]:
    if len(variable) != 1:
        raise TypeError("a template takes exactly one variable")
    return variable
