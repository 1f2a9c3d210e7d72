"""Bento → image plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import StoreError, UsageError
from dynamo_build.image.plan_image import group_images, plan_image
from dynamo_build.model.image import FilesLayer, PackagesLayer, WheelLayer
from dynamo_build.model.reference import ImageReference
from support import handmade

BASE = ImageReference.parse("registry.example/base:1").with_digest("sha256:" + "a" * 64)


def test_layers_in_order(tmp_path: Path) -> None:
    """Packages, runtime, config, code."""
    plan = plan_image(handmade.bento(tmp_path, requirements="alpha==1.0\n"), BASE, "linux/amd64")
    assert [type(item) for item in plan.layers] == [PackagesLayer, WheelLayer, FilesLayer, FilesLayer]
    assert plan.layers[-1].paths == ("data/words.txt", "graph.py")
    assert plan.layers[0].requirements == "alpha==1.0\n"
    assert plan.labels["org.opencontainers.image.base.digest"] == BASE.digest
    assert plan.services == ("Backend", "Frontend")


def test_no_packages_no_layer(tmp_path: Path) -> None:
    """An empty lock has no layer of its own."""
    plan = plan_image(handmade.bento(tmp_path), BASE, "linux/amd64")
    assert not [item for item in plan.layers if isinstance(item, PackagesLayer)]


def test_a_platform_that_was_not_locked(tmp_path: Path) -> None:
    """Says what is locked, and how to get the other."""
    with pytest.raises(UsageError, match="locked for linux/amd64, not for linux/arm64"):
        plan_image(handmade.bento(tmp_path), BASE, "linux/arm64")


@pytest.mark.parametrize("content", ["nonsense\n", f"{'a' * 64}  ../etc/passwd\n", f"{'a' * 64}  other/file\n"])
def test_a_damaged_list_of_files(tmp_path: Path, content: str) -> None:
    """A list that names something outside src/ is not followed."""
    bento = handmade.bento(tmp_path)
    (tmp_path / "files.sha256").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        plan_image(bento, BASE, "linux/amd64")


def test_services_that_share_a_base_share_an_image(tmp_path: Path) -> None:
    """The entry's image first; one image where all bases are equal."""
    bento, other = handmade.bento(tmp_path), ImageReference.parse("registry.example/gpu:1")
    assert group_images(bento, {"": BASE}) == ((BASE, ("Backend", "Frontend")),)
    assert group_images(bento, {"Backend": other, "Frontend": BASE}) == ((BASE, ("Frontend",)), (other, ("Backend",)))
    with pytest.raises(UsageError, match="no service `Backen`"):
        group_images(bento, {"Backen": other})
    with pytest.raises(UsageError, match="no base image"):
        group_images(bento, {"Backend": other})
