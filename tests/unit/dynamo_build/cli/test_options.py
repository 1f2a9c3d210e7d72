"""Options that several commands share."""

from __future__ import annotations

import pytest

from dynamo_build.cli import options
from dynamo_build.errors import UsageError


@pytest.mark.parametrize(
    "arguments",
    [["--Worker.x=1"], ["--Worker.x", "-1"], ["--Worker.flag", "--Worker.y=2"], ["--Worker.ServiceArgs.workers=2"], []],
)
def test_settings_of_services_pass(arguments: list[str]) -> None:
    """`--Service.key=value`, with a space, or as a flag."""
    assert options.checked_service_arguments(arguments) == arguments


@pytest.mark.parametrize(
    "arguments", [["--bogus"], ["stray"], ["--Word=3"], ["--Worker.x=1", "stray"], ["--Worker.x", "1", "2"]]
)
def test_anything_else_is_refused(arguments: list[str]) -> None:
    """An unknown option or a stray argument is named."""
    with pytest.raises(UsageError, match=r"unknown (option|argument)"):
        options.checked_service_arguments(arguments)


def test_output_forms_are_checked_first() -> None:
    """A wrong form is refused before any work."""
    assert options.checked_output("json") == "json"
    with pytest.raises(UsageError, match="xml"):
        options.checked_output("xml")
