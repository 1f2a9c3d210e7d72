"""A project that `dynamo init` writes serves and builds as it is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from dynamo_build.project.scaffold import list_templates
from support.command_line import dynamo
from support.serving import Serve

GENERATE = "/generate", '{"text": "brave new"}'
CHAT = (
    '{"model": "smollm2", "max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": "Say hello."}]}'
)
ASKED = {"llm": ("/v1/chat/completions", CHAT)}


@pytest.mark.parametrize("template", list_templates())
def test_serves_and_builds(template: str, tmp_path: Path) -> None:
    """Its own README's first two commands answer, and the build packs it."""
    made = dynamo("init", "my-graph", "--template", template, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    project = tmp_path / "my-graph"
    built = dynamo("build", "my_graph:Frontend", "-f", "config.yaml", "-o", "name", folder=project)
    assert built.returncode == 0, built.stderr
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    ignored = subprocess.run(["git", "check-ignore", "dynamo.lock"], cwd=project)
    assert ignored.returncode == 1, "the lock belongs into version control"
    serve = Serve(project, "my_graph:Frontend", "-f", "config.yaml", "--port", "0").ready()
    try:
        status, _, body = serve.post(*ASKED.get(template, GENERATE), **{"Content-Type": "application/json"})
        assert status == 200, body
        words = json.loads(body)["choices"][0]["message"]["content"] if template == "llm" else body
        assert re.search(r"[A-Za-z]{2}", words) and (template == "llm" or "new" in words.lower()), body
    finally:
        assert serve.stop() == 0, serve.said()
