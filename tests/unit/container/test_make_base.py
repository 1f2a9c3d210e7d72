"""The base image from the running Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_build.oci import layout, validate

SCRIPT = Path(__file__).resolve().parents[3] / "container" / "make_base.py"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "image"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--output", folder, "--tag", "t"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"oci:{folder}:t"
    return folder


def test_it_is_a_whole_image(base: Path) -> None:
    """Our own checks take it, and its labels say what it provides."""
    import platform
    import sysconfig

    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    image = layout.read_image(base, f"linux/{architecture}", "t")
    assert validate.find_image_problems(image) == ()
    said = json.loads(image.labels["dynamo.python"])
    assert said["version"] == platform.python_version()
    assert said["executable"] == f"/usr/local/bin/python{sysconfig.get_python_version()}"
    assert image.labels["dynamo.packages"] == "[]" and image.labels["dynamo.production"] == "false"


def test_it_names_nothing_of_this_machine(base: Path) -> None:
    """Its config has no folder of the machine that made it."""
    text = "".join(path.read_text() for path in (base / "blobs/sha256").iterdir() if path.stat().st_size < 65536)
    assert str(base) not in text and str(Path.home()) not in text


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """One line, and a code."""
    (tmp_path / "file").write_text("")
    done = subprocess.run([sys.executable, SCRIPT, "--output", tmp_path / "file" / "x"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
