"""Images against what they will run on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.sdk.graph import Resources
from dynamo_build import catalog
from dynamo_build.deploy.image_compatibility import check_images
from dynamo_build.model.plan import Lock, LockedPackage
from dynamo_build.model.reference import ImageReference
from support import handmade
from support.deployments import bento, deployment, hello_graph

CUDA = {"dynamo.platform": json.dumps({"glibc": "2.36", "cuda": "12.8", "driver": "525"})}
PLAIN = {"dynamo.platform": json.dumps({"glibc": "2.36"})}


def found(
    folder: Path, labels: dict[str, str], platform: str = "linux/amd64", gpu: str = "0", *packages: str, arch: str = ""
) -> list[str]:
    reference = handmade.base_folder(folder, handmade.image(labels=labels, platform=platform))
    lock = Lock(
        python="3.11", packages={"linux/amd64": tuple(LockedPackage(name=name, version="1") for name in packages)}
    )
    made = bento(hello_graph())
    made = replace(made, manifest=replace(made.manifest, lock=lock))
    options = {"architecture": arch} if arch else {}
    placed = deployment(hello_graph(), options=options)
    workloads = tuple(replace(one, resources=Resources(gpu=gpu)) for one in placed.workloads)
    placed = replace(placed, workloads=workloads)
    images = {workload.service: reference for workload in placed.workloads}
    findings = list(check_images(made, placed, images, catalog.default_surroundings()))
    return [f"{'warning' if one.warning else 'error'}: {one.where}: {one.message}" for one in findings]


def test_what_fits(tmp_path: Path) -> None:
    """GPUs and CUDA in the base, or in the packages; a base that says nothing; no GPUs."""
    assert found(tmp_path / "a", CUDA, "linux/amd64", "1") == []
    assert found(tmp_path / "b", PLAIN, "linux/amd64", "1", "nvidia-cuda-runtime-cu12") == []
    assert found(tmp_path / "c", {}, "linux/amd64", "1") == []
    assert found(tmp_path / "d", PLAIN) == []
    assert found(tmp_path / "e", {"dynamo.platform": "[]"}, "linux/amd64", "1") == []


def test_gpus_without_cuda(tmp_path: Path) -> None:
    """A warning for each service that asks for some."""
    lines = found(tmp_path, PLAIN, "linux/amd64", "2")
    assert lines[0] == "warning: service Backend: asks for 2 GPUs, but neither its base nor its packages have CUDA"
    assert len(lines) == 3


def test_another_architecture(tmp_path: Path) -> None:
    """An error where the pods may land elsewhere than the image runs."""
    assert "error: service Backend" in found(tmp_path / "a", PLAIN, "linux/arm64")[0]
    lines = found(tmp_path / "b", PLAIN, arch="arm64")
    assert lines[0].startswith("error: service Backend: ") and "linux/arm64" in lines[0]


def test_a_base_for_trying_out(tmp_path: Path) -> None:
    """Is said."""
    assert "trying out" in found(tmp_path, {"dynamo.production": "false"})[0]


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    """One warning, however many services use it."""
    placed = deployment(hello_graph())
    images = {one.service: ImageReference.parse(f"127.0.0.1:1/a@sha256:{'0' * 64}") for one in placed.workloads}
    (finding,) = check_images(bento(hello_graph()), placed, images, catalog.default_surroundings())
    assert finding.warning and "could not be looked at: no registry listens" in finding.message


@pytest.mark.parametrize("label", ["{", "[" * 100_000, "1"])
def test_a_label_that_cannot_be_read(tmp_path: Path, label: str) -> None:
    """Says nothing."""
    assert found(tmp_path, {"dynamo.platform": label}, "linux/amd64", "1") == []
