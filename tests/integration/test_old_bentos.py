"""A bento of every format that was ever released is still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import dynamo
from support.serving import Serve

DATA = Path(__file__).resolve().parents[1] / "data"
STORED = sorted(DATA.glob("*.bento"))


def test_there_is_one_for_every_format() -> None:
    """A new format adds a file here."""
    from dynamo_build.model.bento import FORMAT

    assert [path.stem.rpartition("-")[2] for path in STORED] == [str(number) for number in range(1, FORMAT + 1)]


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.stem)
def test_read_verified_drawn_and_served(stored: Path, tmp_path: Path) -> None:
    """Imported, every byte checked, shown; its graph runs from its own code and lock."""
    home = {"DYNAMO_HOME": str(tmp_path / "home")}
    taken = dynamo("import", str(stored), "-o", "name", folder=tmp_path, **home)
    assert taken.returncode == 0, taken.stderr
    tag = taken.stdout.strip()
    assert dynamo("verify", tag, folder=tmp_path, **home).returncode == 0
    drawn = dynamo("graph", "--tag", tag, "--format", "json", folder=tmp_path, **home)
    assert json.loads(drawn.stdout)["entry"] == "Frontend"
    served = Serve(tmp_path, tag, "--port", "0", **home).ready()
    try:
        status, _, body = served.post("/generate", '{"text": "a"}', **{"Content-Type": "application/json"})
        assert status == 200 and "Backend" in body, body
    finally:
        assert served.stop() == 0
