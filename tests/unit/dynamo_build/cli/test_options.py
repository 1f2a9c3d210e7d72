"""Options that several commands share."""

from __future__ import annotations

import pytest

from dynamo_build.cli import options
from dynamo_build.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "own", "theirs"),
    [
        (["--Worker.x=1", "tag", "-q"], ["tag", "-q"], ["--Worker.x=1"]),
        (["tag", "--Worker.x", "-1", "--apply"], ["tag", "--apply"], ["--Worker.x", "-1"]),
        (["--Worker.flag", "--apply", "--Worker.y=2"], ["--apply"], ["--Worker.flag", "--Worker.y=2"]),
        (["--Worker.x", "=", "3", "tag"], ["tag"], ["--Worker.x", "=", "3"]),
        (["--Word=3", "--bogus"], ["--Word=3", "--bogus"], []),
        (["a", "--", "--Worker.x=1"], ["a", "--", "--Worker.x=1"], []),
        ([], [], []),
    ],
)
def test_settings_of_services_stand_anywhere(arguments: list[str], own: list[str], theirs: list[str]) -> None:
    """Before or after the tag, with `=`, a space, or as a flag; what is left is the command's."""
    assert options.split_service_arguments(arguments) == (own, theirs)


def test_output_forms_are_checked_first() -> None:
    """A wrong form is refused before any work."""
    assert options.check_output("json") == "json"
    with pytest.raises(UsageError, match="xml"):
        options.check_output("xml")
