"""Package layers across builds: one group for one new version, and none at all where the repository has them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.builders.oci.groups import choose_group
from dynamo_build.events import ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import Image, ImagePlan, ToRegistry
from dynamo_build.model.reference import ImageReference
from support import handmade
from support.registry import Content, running

NAMES = ("numpy", "scipy", "alpha", "beta", "gamma", "delta")
PYTHON = f'{{"version":"{sys.version.split()[0].rstrip("+")}","executable":"/usr/local/bin/python3"}}'


@pytest.fixture
def registry() -> Iterator[tuple[str, Content]]:
    with running() as found:
        yield found


class Builds:
    """Builds of one bento, each from a machine of its own unless a cache is named."""

    def __init__(self, folder: Path, address: str, content: Content) -> None:
        self.folder, self.content = folder, content
        self.repository = ImageReference.parse(f"{address}/team/app:v1")
        self.base = ImageReference.parse(f"{address}/team/base:v1")
        (folder / "wheels").mkdir()
        around = catalog.default_surroundings({}, folder / "base")
        digest = around.registry(self.base).push(handmade.image(labels={"dynamo.python": PYTHON}), (self.base,), ignore)
        self.base = self.base.with_digest(digest)

    def plan(self, versions: dict[str, str], **changed: object) -> ImagePlan:
        lines = []
        for name, version in versions.items():
            files = {f"{name}/__init__.py": f"V = {version!r}\n".encode(), f"{name}/data": name.encode() * 100}
            filename, content = handmade.distribution(name, version, files)
            (self.folder / "wheels" / filename).write_bytes(content)
            lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
        made = handmade.bento(self.folder / "bento", requirements="".join(lines))
        plan = plan_image(made, self.base, "linux/amd64")
        earlier = (self.repository, self.repository.with_tag("kept"))
        return replace(plan, **{"earlier": earlier, "kept_as": "kept", **changed})

    def build(self, plan: ImagePlan, cache: str, tag: str = "v1") -> Image:
        environment = {
            **os.environ,
            "UV_OFFLINE": "1",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(self.folder / "wheels"),
        }
        around = catalog.default_surroundings(
            {**environment, "UV_CACHE_DIR": str(self.folder / "uv")}, self.folder / cache
        )
        self.content.requests.clear()
        return catalog.find_builder("oci", around).build(
            plan, ToRegistry(references=(self.repository.with_tag(tag),)), ignore
        )

    def fetched(self) -> list[str]:
        """Blobs that were read, without configs."""
        documents = set()
        for _, body in self.content.manifests.values():
            documents.add(handmade.document(body)["config"]["digest"])  # type: ignore[index]
        return [
            path
            for method, path in self.content.requests
            if method == "GET" and "/blobs/" in path and path.rpartition("/")[2] not in documents
        ]


@pytest.fixture
def builds(tmp_path: Path, registry: tuple[str, Content]) -> Builds:
    return Builds(tmp_path, *registry)


VERSIONS = dict.fromkeys(NAMES, "1.0")


def test_a_new_version_sends_its_group_alone(builds: Builds) -> None:
    """Two blobs: the layer and the config. Another build of the same sends none at all."""
    first = builds.build(builds.plan(VERSIONS), "here")
    groups = {choose_group(name) for name in NAMES}
    assert len([layer for layer in first.layers if layer.name.startswith("packages")]) == len(groups)
    assert builds.build(builds.plan(VERSIONS), "here").digest == first.digest
    assert builds.content.blobs_sent() == 0
    second = builds.build(builds.plan({**VERSIONS, "numpy": "2.0"}), "here")
    assert [layer.name for layer in second.layers if layer.sent] == ["packages: numpy"]
    assert builds.content.blobs_sent() == 2


def test_a_fresh_machine_takes_the_layers_that_are_there(builds: Builds) -> None:
    """With nothing kept and no wheel in reach, the same image: no blob is fetched, none is sent."""
    plan = builds.plan(VERSIONS)
    first = builds.build(plan, "here")
    for wheel in (builds.folder / "wheels").iterdir():
        wheel.unlink()
    second = builds.build(plan, "elsewhere")
    assert second.digest == first.digest
    assert builds.content.blobs_sent() == 0 and builds.fetched() == []


def test_another_tag_finds_the_last_image(builds: Builds) -> None:
    """A version that was never pushed finds the layers by the tag that every build leaves."""
    builds.build(builds.plan(VERSIONS), "here")
    plan = builds.plan({**VERSIONS, "alpha": "2.0"}, earlier=(builds.repository.with_tag("kept"),))
    second = builds.build(plan, "elsewhere", tag="v2")
    made = {layer.name for layer in second.layers if layer.sent and layer.name.startswith("packages")}
    assert len(made) == 1 and "alpha" in made.pop()
    assert builds.fetched() == []


def test_what_another_compressor_made_is_not_taken(builds: Builds) -> None:
    """The digest of an image never depends on what was in the registry before."""
    plan = builds.plan(VERSIONS)
    builds.build(replace(plan, compression="zlib"), "here")
    second = builds.build(plan, "elsewhere")
    third = builds.build(replace(plan, earlier=(), kept_as=""), "third")
    assert second.digest == third.digest


@pytest.mark.parametrize("jobs", [1, 5])
def test_how_many_at_once_does_not_show(builds: Builds, jobs: int) -> None:
    """One after the other or all together, from an empty cache: the same image."""
    plan = builds.plan(VERSIONS, earlier=(), kept_as="")
    assert builds.build(plan, "a").digest == builds.build(replace(plan, jobs=jobs), f"b{jobs}").digest
