"""Pipelines as text: the examples are what the command writes, and a file that is there stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.project.ci import FORMS, pipeline, write

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "ci"
WANTED = pipeline("hello_world:Frontend", registry="registry.example/team", version="0.1.0", config_file="config.yaml")


@pytest.mark.parametrize("form", FORMS)
def test_the_examples_are_what_is_written(form: str, tmp_path: Path) -> None:
    """As people read them."""
    path = write(form, tmp_path, WANTED)
    example = EXAMPLES / f"{form}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        example.write_text(path.read_text())
    assert path.read_text() == example.read_text()


def test_a_pipeline_that_is_there_stays(tmp_path: Path) -> None:
    """Unless it is forced; an unknown system names the known."""
    path = write("gitlab", tmp_path, WANTED)
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"`\.gitlab-ci\.yml` already exists"):
        write("gitlab", tmp_path, WANTED)
    assert path.read_text() == "mine"
    write("gitlab", tmp_path, WANTED, force=True)
    assert path.read_text() != "mine"
    with pytest.raises(UsageError, match="no pipeline for `jenkins`"):
        write("jenkins", tmp_path, WANTED)


def test_a_target_with_odd_characters_stays_one_word(tmp_path: Path) -> None:
    """What is typed into the command becomes no shell of its own."""
    path = write("github", tmp_path, pipeline("a b;c:D", registry="r", version="1", config_file="$(x).yaml"))
    assert "dynamo build 'a b;c:D' -f '$(x).yaml' --locked" in path.read_text()
