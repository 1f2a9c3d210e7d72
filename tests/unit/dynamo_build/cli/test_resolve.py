"""`dynamo resolve`, as a process would run it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from support import handmade

IMAGE = "registry.example.com/hello@sha256:" + "a" * 64
OTHER = "registry.example.com/other@sha256:" + "b" * 64
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bento in the store, and YAML of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DYNAMO_REGISTRY", raising=False)
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(bento.manifest))
    (folder / "build.json").write_text("{}")
    (tmp_path / "job.yaml").write_text("image: dynamo://hello:abc/Backend # x\n")
    (tmp_path / "wrong.yaml").write_text("image: dynamo://hello:abc/Nobody\n")
    (tmp_path / "absent.yaml").write_text("image: dynamo://absent:1/Backend\n")


def run(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    code = app.run(["resolve", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_files_and_stdin_become_one_stream(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service gets its own image."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a: dynamo://hello:abc/Frontend"))
    images = ("--set-image", IMAGE, "--set-image", f"Frontend={OTHER}")
    code, out, _ = run(capsys, "-f", "job.yaml", "-f", "-", *images)
    assert (code, out) == (0, f"image: {IMAGE} # x\n---\na: {OTHER}\n")


def test_a_file_without_a_mention_is_named(capsys: Captured, tmp_path: Path) -> None:
    """An address of a running service is no mention."""
    (tmp_path / "plain.yaml").write_text("call: dynamo://hello/Backend\n")
    code, out, err = run(capsys, "-f", "plain.yaml")
    assert (code, out) == (0, "call: dynamo://hello/Backend\n")
    assert "`plain.yaml` names no service as dynamo://NAME:VERSION/SERVICE" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-f", "job.yaml"), 2, "there is no registry to push the image to"),
        (("-f", "wrong.yaml", "--set-image", IMAGE), 2, "`dynamo://hello:abc/Nobody` names no service"),
        (("-f", "absent.yaml", "--set-image", IMAGE), 16, "absent"),
        (("-f", "none.yaml"), 2, "`none.yaml` cannot be read: no such file or directory"),
        ((), 2, "missing option"),
    ],
)
def test_mistakes_are_one_line(capsys: Captured, arguments: tuple[str, ...], code: int, message: str) -> None:
    """Nothing on stdout."""
    got, out, err = run(capsys, *arguments)
    assert (got, out) == (code, "")
    assert message in err and "Traceback" not in err
