"""What the BentoML projects are expected to answer is what BentoML itself answers."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pytest

from support.bentoml_projects import PROJECTS, differing, files
from support.hello import free_port
from support.serving import Serve

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from peers import environment_of


@pytest.mark.parametrize("name", PROJECTS)
def test_bentoml_answers_the_same(tmp_path, name):
    """`bentoml serve` of the same files."""
    binaries = environment_of("bentoml")
    if binaries is None:
        pytest.skip("bentoml cannot be installed here")
    for file, text in files(name).items():
        (tmp_path / file).write_text(text)
    port = free_port()
    command = (str(binaries / "bentoml"), "serve", PROJECTS[name][0], "--host", "127.0.0.1", "--port", str(port))
    # Its services are reached by Unix sockets, whose paths must be short.
    quiet = {
        "TMPDIR": tempfile.gettempdir(),
        "BENTOML_HOME": str(tmp_path / "home"),
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    entry = PROJECTS[name][0].partition(":")[2]
    one = Serve(tmp_path, command=command, **quiet)
    try:
        until = time.monotonic() + 60
        while f"Service {entry.lower()} initialized" not in one.said().lower() and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1)
        one.port = port
        assert differing(name, one.post) == []
    finally:
        one.process.terminate()
        one.process.wait(30)
