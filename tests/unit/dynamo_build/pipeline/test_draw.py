"""The choice of a graph and of a format; the pictures themselves are tested with the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.pipeline.draw import DrawOptions, draw

CODE = """
from dynamo.sdk import api, service

@service
class Front:
    @api
    async def say(self): ...
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DrawOptions(form="png"), "`png` is not a picture format"),
        (DrawOptions(target="graph:Front", tag="front"), "exclude each other"),
        (DrawOptions(tag="front", running=True), "exclude each other"),
    ],
)
def test_what_is_refused(tmp_path: Path, options: DrawOptions, message: str) -> None:
    """Before a graph is read."""
    with pytest.raises(UsageError, match=message):
        draw(tmp_path, options)


def test_the_ending_of_the_file_decides(tmp_path: Path) -> None:
    """Unless a format is named; nothing is written."""
    (tmp_path / "graph.py").write_text(CODE)
    drawn = draw(tmp_path, DrawOptions(target="graph:Front", output_file="x.json"))
    assert json.loads(drawn.text)["entry"] == drawn.graph.entry == "Front"
    assert draw(tmp_path, DrawOptions(target="graph:Front", form="dot", output_file="x.svg")).text.startswith("digraph")
    assert not (tmp_path / "x.json").exists()
