"""The daemonless builder, beyond the contract."""

from __future__ import annotations

import contextlib
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from dynamo_build import catalog
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import SetupCommand, SystemPackages, ToFolder
from dynamo_build.oci import layout, validate
from dynamo_build.oci.oci_image import OciImage
from support import handmade


def build(tmp_path: Path, *, cache: str = "cache", bento: str = "bento", tag: str = "v1", **sources: str) -> OciImage:
    around = catalog.default_surroundings(dict(os.environ), tmp_path / cache)
    made = handmade.bento(tmp_path / bento, sources or None)
    plan = plan_image(made, handmade.base_folder(tmp_path / "base"), "linux/amd64")
    catalog.find_builder("oci", around).build(plan, ToFolder(folder=str(tmp_path / "out"), tag=tag), ignore)
    return layout.read_image(tmp_path / "out", "linux/amd64", tag)


def names(image: OciImage, index: int) -> list[str]:
    with contextlib.closing(image.layers[index].open()) as stream:
        return tarfile.open(fileobj=cast(Any, stream), mode="r|gz").getnames()


def test_neither_folder_nor_cache_nor_umask_shows(tmp_path: Path) -> None:
    """The same bento elsewhere, with a cold cache and other file modes, is the same image."""
    first = build(tmp_path)
    old = os.umask(0o077)
    try:
        second = build(tmp_path, cache="other", bento="elsewhere")
    finally:
        os.umask(old)
    assert first.digest == second.digest
    assert validate.find_image_problems(first) == ()


def test_layers_go_from_seldom_to_often(tmp_path: Path) -> None:
    """A changed line changes the last layer alone."""
    first = build(tmp_path)
    second = build(tmp_path, **{"graph.py": "changed\n"})
    assert [entry["created_by"] for entry in first.document["history"]] == [
        "test",
        "dynamo: runtime",
        "dynamo: config",
        "dynamo: code",
    ]
    assert first.layers[:-1] == second.layers[:-1] or [layer.digest for layer in first.layers[:-1]] == [
        layer.digest for layer in second.layers[:-1]
    ]
    assert first.layers[-1].digest != second.layers[-1].digest
    assert names(first, -1) == ["app", "app/src", "app/src/data", "app/src/data/words.txt", "app/src/graph.py"]
    assert "app/runtime/dynamo/worker.py" in names(first, 1)
    assert "app/bento/graph.json" in names(first, 2)


def test_what_needs_a_shell_is_refused(tmp_path: Path) -> None:
    """System packages, setup commands and templates: all reasons at once, before anything is done."""
    around = catalog.default_surroundings({}, tmp_path / "cache")
    plan = plan_image(handmade.bento(tmp_path / "bento"), handmade.base_folder(tmp_path / "base"), "linux/amd64")
    wanted = replace(plan, layers=(SystemPackages(names=("curl",)), SetupCommand(command="true")), template="x")
    to = ToFolder(folder=str(tmp_path / "out"))
    assert len(catalog.find_builder("oci", around).problems(wanted, to)) == 3
    with pytest.raises(ImageBuildError):
        catalog.find_builder("oci", around).build(wanted, to, ignore)
    assert not (tmp_path / "out").exists()


def test_a_damaged_bento_is_one_line(tmp_path: Path) -> None:
    """A file that is gone, and a wheel that is none."""
    around = catalog.default_surroundings({}, tmp_path / "cache")
    base = handmade.base_folder(tmp_path / "base")
    to = ToFolder(folder=str(tmp_path / "out"))
    plan = plan_image(handmade.bento(tmp_path / "one"), base, "linux/amd64")
    (tmp_path / "one/src/graph.py").unlink()
    with pytest.raises(ImageBuildError, match=r"`graph\.py` is missing"):
        catalog.find_builder("oci", around).build(plan, to, ignore)
    plan = plan_image(handmade.bento(tmp_path / "two"), base, "linux/amd64")
    (tmp_path / "two/runtime" / handmade.WHEEL).write_bytes(b"none")
    with pytest.raises(ImageBuildError, match="wheel"):
        catalog.find_builder("oci", around).build(plan, to, ignore)


def test_a_link_out_of_the_bento_is_refused(tmp_path: Path) -> None:
    """A file that was replaced by a link does not bring another file into the image."""
    around = catalog.default_surroundings({}, tmp_path / "cache")
    plan = plan_image(handmade.bento(tmp_path / "one"), handmade.base_folder(tmp_path / "base"), "linux/amd64")
    (tmp_path / "one/src/graph.py").unlink()
    (tmp_path / "one/src/graph.py").symlink_to("/etc/hostname")
    with pytest.raises(ImageBuildError, match="missing"):
        catalog.find_builder("oci", around).build(plan, ToFolder(folder=str(tmp_path / "out")), ignore)
