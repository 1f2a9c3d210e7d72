"""Packages that a BentoML project names in code."""

from __future__ import annotations

from dynamo_build.model.plan import BuildOptions
from dynamo_build.packages.requirements import image_packages, require

TEXT = """
import bentoml

image = (
    bentoml.images.Image(python_version="3.11")
    .python_packages("pyyaml>=6", *MORE)
    .requirements_file("more.txt")
    .system_packages("git")
)

@bentoml.service(image=image)
class Svc: ...
"""


def test_packages(tmp_path):
    """Literal words of `python_packages` and files of requirements; `bentoml` itself is not asked for."""
    (tmp_path / "service.py").write_text(TEXT)
    (tmp_path / "more.txt").write_text("bentoml[tracing]>=1.4\nidna\n")
    (tmp_path / "requirements.txt").write_text("bentoml\n")
    assert sorted(image_packages(tmp_path, "service.py")) == ["-r more.txt", "pyyaml>=6"]
    wanted, problems, _ = require(tmp_path, ["service.py"], BuildOptions())
    assert problems == []
    assert {"pyyaml>=6", "idna"} <= set(wanted.lines)
    assert not any(line.startswith("bentoml") for line in wanted.lines)


def test_another_graph(tmp_path):
    """A graph of ours that uses `bentoml` for something else has it locked."""
    (tmp_path / "service.py").write_text("import bentoml\n")
    (tmp_path / "requirements.txt").write_text("bentoml\n")
    assert image_packages(tmp_path, "service.py") == ()
    assert "bentoml" in require(tmp_path, ["service.py"], BuildOptions())[0].lines
