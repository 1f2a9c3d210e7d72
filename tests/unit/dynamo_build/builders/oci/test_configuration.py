"""The config over that of the base."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.builders.oci import configuration
from dynamo_build.errors import ImageBuildError
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import ImagePlan, PackagesLayer
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.compression import DEFAULT
from support import handmade


def plan(tmp_path: Path, base: str = "registry.example/base:1") -> ImagePlan:
    return plan_image(handmade.bento(tmp_path / "bento"), ImageReference.parse(base), "linux/amd64")


def test_ours_over_the_bases(tmp_path: Path) -> None:
    """Its environment and labels stay, its command goes, and PATH gets our programs first."""
    found = configuration.image_settings(handmade.image(labels={"vendor": "x"}), plan(tmp_path))
    assert found["Env"][:2] == ["PATH=/app/packages/bin:/usr/local/bin:/bin", "LANG=C"]
    assert "PYTHONPATH=/app/src:/app/runtime:/app/packages" in found["Env"]
    assert "Cmd" not in found
    assert found["Entrypoint"] == ["python", "-m", "dynamo.worker"]
    assert (found["User"], found["WorkingDir"]) == ("10001:0", "/app/src")
    assert found["Labels"]["vendor"] == "x" and found["Labels"]["dynamo.bento"] == "hello:abc"


@pytest.mark.parametrize(
    ("base", "name"),
    [("registry.example/base:1", "registry.example/base:1"), ("127.0.0.1:5000/base:1", None), ("oci:/tmp/x:1", None)],
)
def test_a_base_on_this_machine_is_not_named(tmp_path: Path, base: str, name: str | None) -> None:
    """A name that means something here only does not get into the image."""
    assert (
        configuration.image_annotations(plan(tmp_path, base), DEFAULT).get("org.opencontainers.image.base.name") == name
    )


def test_a_base_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Another platform, or another Python than the packages are locked for."""
    with pytest.raises(ImageBuildError, match="linux/arm64"):
        configuration.check_base(handmade.image(platform="linux/arm64"), plan(tmp_path))
    packages = PackagesLayer(packages=(), requirements="", python="3.11", platform="linux/amd64")
    wanted = ImagePlan(
        name="x", version="1", bento="", services=(), base=ImageReference.parse("b:1"), layers=(packages,)
    )
    configuration.check_base(handmade.image(labels={"dynamo.python": '{"version":"3.11.9"}'}), wanted)
    configuration.check_base(handmade.image(), wanted)
    with pytest.raises(ImageBuildError, match=r"Python 3\.12\.1"):
        configuration.check_base(handmade.image(labels={"dynamo.python": '{"version":"3.12.1"}'}), wanted)


@pytest.mark.parametrize("label", ["", "[]", "{", "null"])
def test_a_label_that_says_nothing(label: str) -> None:
    """A damaged label is as good as none."""
    assert configuration.read_python(handmade.image(labels={"dynamo.python": label})) == {}


def test_engines_ask_for_its_health(tmp_path: Path) -> None:
    """What the Dockerfile says in HEALTHCHECK, word for word."""
    import json

    from dynamo_build.builders.dockerfile import build_recipe

    wanted = plan(tmp_path)
    found = configuration.image_settings(handmade.image(), wanted)["Healthcheck"]
    assert found["Test"] == ["CMD", *json.loads(build_recipe(wanted, buildkit=False).health)]
    assert (found["Interval"], found["Retries"]) == (15_000_000_000, 3)
