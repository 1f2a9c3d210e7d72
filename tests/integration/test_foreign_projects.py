"""Projects of BentoML and of ai-dynamo 0.3 build and serve as they are; what BentoML answers is asked in tests/campaign."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.bentoml_projects import GRAPHS, PROJECTS, differing, files
from support.serving import gone


@pytest.mark.nats
@pytest.mark.parametrize("name", PROJECTS)
def test_same_answers(serve, name):
    """`dynamo serve service:Svc` in the unmodified project answers what BentoML answers."""
    one = serve(PROJECTS[name][0], "--port", "0", files=files(name)).ready()
    assert differing(name, one.post) == []
    assert one.stop() == 0
    gone(one)


@pytest.mark.parametrize("name", PROJECTS)
def test_build(tmp_path, name):
    """It builds too; `bentoml` itself is not locked, the packages it asks for are."""
    for file, text in files(name).items():
        (tmp_path / file).write_text(text)
    command = [sys.executable, "-m", "dynamo_build", "build", PROJECTS[name][0], "--dry-run", "-o", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not async" not in done.stderr
    assert '"pydantic' in done.stdout
    assert '"bentoml' not in done.stdout.replace('"DYNAMO_COMPATIBILITY": "bentoml"', "")


@pytest.mark.nats
def test_ai_dynamo(serve):
    """The hello world of ai-dynamo 0.3, three services that hand JSON on as text."""
    text = (GRAPHS / "ai_dynamo_hello_world" / "hello_world.py").read_text()
    one = serve("hello_world:Frontend", "--port", "0", files={"hello_world.py": text}).ready()
    status, _, answer = one.post("/generate", '{"text": "test"}')
    assert (status, answer.strip()) == (200, "Frontend: Middle: Backend: test-mid-back")
    assert one.stop() == 0
    gone(one)
