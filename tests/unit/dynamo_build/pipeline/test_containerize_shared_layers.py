"""Many images that have packages in common."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from pathlib import Path

from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.pipeline import containerize
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import running

COUNT = 20


def wheel(folder: Path, name: str, version: str = "1.0") -> str:
    """A wheel in the folder; its line of the lock."""
    folder.mkdir(exist_ok=True)
    filename, content = handmade.distribution(name, version, {f"{name}/__init__.py": os.urandom(999).hex().encode()})
    (folder / filename).write_bytes(content)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


def offline(folder: Path, wheels: Path) -> Surroundings:
    own = {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(folder / "uv")}
    return catalog.default_surroundings({**os.environ, **own}, folder / "cache")


def test_a_new_version_ships_its_group_alone(tmp_path: Path) -> None:
    """Also on a machine that has no cache: the repository's last image has the other layers."""
    wheels = tmp_path / "wheels"
    large, small, other = wheel(wheels, "numpy"), wheel(wheels, "alpha"), wheel(wheels, "pandas")
    newer = wheel(wheels, "numpy", "2.0")
    with running() as (host, _):
        base = ImageReference.parse(f"{host}/base:1")
        sent = []
        for number, lines in enumerate((large + small + other, newer + small + other)):
            around = offline(tmp_path / str(number), wheels)
            around.registry(base).push(handmade.image(), (base,), ignore)
            made = handmade.bento(tmp_path / f"bento-{number}", requirements=lines)
            options = ContainerizeOptions(bases=(str(base),), references=(f"{host}/x:v1",), push=True)
            (image,) = containerize.containerize(made, options, around, ignore)
            sent.append([layer.name for layer in image.layers if layer.sent])
    assert len(sent[0]) > 5
    assert sent[1] == ["packages: numpy"]


def test_what_twenty_services_share_is_stored_and_sent_once(tmp_path: Path) -> None:
    """An image for each, over a base of its own; packages, runtime, config and code are made once and sent once."""
    wheels = tmp_path / "wheels"
    lines = wheel(wheels, "numpy") + wheel(wheels, "alpha")
    around = offline(tmp_path, wheels)
    names = tuple(f"Service{number}" for number in range(COUNT - 1))
    made = handmade.bento(tmp_path / "bento", requirements=lines, names=(*names, "Frontend"))
    with running() as (host, content):
        bases = []
        for number, name in enumerate(("", *names)):
            reference = ImageReference.parse(f"{host}/base:{number}")
            around.registry(reference).push(handmade.image(b"%d" % number), (reference,), ignore)
            bases.append(f"{name}={reference}" if name else str(reference))
        options = ContainerizeOptions(bases=tuple(bases), references=(f"{host}/many:v1",), push=True)
        before = len(content.requests)
        images = containerize.containerize(made, options, around, ignore)
        uploads = Counter(
            re.sub(".*digest=", "", path).replace("%3A", ":")
            for method, path in content.requests[before:]
            if method == "PUT" and "digest=" in path
        )
    assert len(images) == COUNT
    shared = {layer.digest for image in images for layer in image.layers if layer.name != "base"}
    assert len(shared) == 5
    assert {uploads[digest] for digest in shared} == {1}
    kept = {path.name for path in (tmp_path / "cache/layers/blobs").iterdir()}
    assert kept == {digest.removeprefix("sha256:") for digest in shared}
