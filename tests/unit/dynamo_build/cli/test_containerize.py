"""`dynamo containerize`, as a process would run it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from dynamo_build.oci import layout, validate
from support import handmade


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bento in the store, and a base in a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.format_manifest(bento.manifest))
    (folder / "build.json").write_text("{}")
    handmade.base_folder(tmp_path / "base", tag="v1")
    return "hello:abc"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run(["containerize", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_into_a_folder(stored: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """stdout is the result alone; the image is whole, and the same twice."""
    wanted = (stored, "--base", "oci:base:v1", "--output-dir", "out")
    code, out, _ = run(capsys, *wanted, "-o", "json")
    image = json.loads(out)
    assert code == 0
    assert validate.find_image_problems(layout.read_image(tmp_path / "out", "linux/amd64", "abc")) == ()
    assert json.loads(run(capsys, *wanted, "-o", "json")[1])["digest"] == image["digest"]
    assert run(capsys, *wanted, "-o", "name")[1] == f"oci:{tmp_path}/out:abc\n"


def test_the_base_of_the_environment(
    stored: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DYNAMO_IMAGE is the base; without a destination and an engine the image goes into the store, which is said."""
    monkeypatch.setenv("DYNAMO_IMAGE", "oci:base")
    code, out, err = run(capsys, stored)
    assert code == 0 and f"{os.environ['DYNAMO_HOME']}/images/hello:abc" in out
    assert "no Docker Engine answers" in err


def test_several_images(stored: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A service over another base gets an image of its own; the result is a list then."""
    handmade.base_folder(tmp_path / "gpu", handmade.image(b"gpu"), tag="v1")
    code, out, _ = run(
        capsys, stored, "--base", "oci:base:v1", "--base", "Backend=oci:gpu:v1", "--output-dir", "out", "-o", "json"
    )
    assert code == 0
    assert [image["services"] for image in json.loads(out)] == [["Frontend"], ["Backend"]]
    assert layout.resolve_digest(tmp_path / "out", "abc") != layout.resolve_digest(tmp_path / "out", "abc-backend")


def test_a_dry_run_writes_nothing(stored: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The plan and the destination, and no folder."""
    code, out, _ = run(capsys, stored, "--base", "oci:base:v1", "--output-dir", "out", "--dry-run")
    assert code == 0 and "hello:abc" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "has no base image"),
        (("--base", "oci:nowhere"), 13, "is not an OCI image layout"),
        (("--base", "oci:base:other"), 13, "holds no image `other`"),
        (("--base", "oci:base", "--push"), 2, "needs a destination"),
        (("--base", "oci:base", "--push", "--registry", "127.0.0.1:1"), 13, "no registry listens at `127.0.0.1:1`"),
        (("--base", "127.0.0.1:1/x:y"), 13, "no registry listens"),
        (("--base", "BAD NAME"), 2, "is not an image reference"),
        (("--base", "Nobody=oci:base"), 2, "there is no service `Nobody`"),
        (("--base", "oci:base", "--builder", "ocy"), 2, "there is no builder `ocy`"),
        (("--base", "oci:base", "--platform", "windows"), 2, "unsupported platform"),
        (("--base", "oci:base", "--platform", "linux/arm64"), 2, "locked for linux/amd64"),
        (("--base", "oci:base", "-o", "xml"), 2, "not an output form"),
        (("--bse", "oci:base"), 2, "--bse"),
    ],
)
def test_mistakes_are_one_clear_line(
    stored: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    """The documented exit code, what was seen, what to do, nothing on stdout and nothing written."""
    found, out, err = run(capsys, stored, *arguments)
    assert (found, out) == (code, "")
    assert said in err and "Traceback" not in err
    assert err.count("error: ") == 1
    assert not Path("out").exists()


def test_no_bento(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder from which none was built, and a tag that is not there."""
    assert run(capsys)[0] == 16
    assert run(capsys, f"none{secrets.token_hex(2)}")[0] == 16
