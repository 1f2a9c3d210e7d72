"""An image over another base."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dynamo_build.errors import ImageBuildError
from dynamo_build.image.rebase import find_misfits, rebase_image
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from support import handmade

NEW = ImageReference.parse("registry.example/base:2")
BASE = "org.opencontainers.image.base.digest"


def base(content: bytes = b"old", env: tuple[str, ...] = (), **labels: object) -> OciImage:
    said = {
        "dynamo.python": {"version": "3.11.7", "executable": "/usr/bin/python3"},
        "dynamo.platform": {"glibc": "2.36", "cuda": "12.4"},
        "dynamo.packages": [{"name": "torch", "version": "2.5.1"}],
    } | {f"dynamo.{name}": value for name, value in labels.items()}
    made = handmade.image(content, {name: json.dumps(value) for name, value in said.items()})
    return made.with_config({**made.settings, "Env": ["PATH=/usr/bin", "LANG=C", *env]})


def over(below: OciImage, bytecode: str = "3.11.7") -> OciImage:
    labels = {**below.labels, "dynamo.bento": "a:1", "dynamo.bytecode": bytecode, BASE: below.digest}
    settings = {
        **below.settings,
        "Labels": labels,
        "User": "10001:0",
        "Env": [*below.settings["Env"][1:], "PATH=/app/packages/bin:/usr/bin", "PYTHONPATH=/app/src"],
        "Entrypoint": ["python", "-m", "dynamo.worker"],
    }
    layers = [handmade.packed([Entry(path="app/src/a.py", content=b"1")], "code")]
    return below.with_layers(layers).with_config(settings, {"dynamo.bento": "a:1", BASE: below.digest})


def test_only_what_is_below_changes() -> None:
    """Layers, entry point and labels of ours stay; the base's layers, settings and labels are the new ones."""
    old, new = base(env=("CUDA=old", "KEPT=1")), base(b"new", env=("CUDA=new", "MORE=1"))
    image = over(old)
    made = rebase_image(image, new, NEW.with_digest(new.digest), old)
    assert [layer.digest for layer in made.layers] == [new.layers[0].digest, image.layers[1].digest]
    assert validate.find_image_problems(made) == ()
    environment = dict(item.partition("=")[::2] for item in made.settings["Env"])
    assert environment == {
        "PATH": "/app/packages/bin:/usr/bin", "LANG": "C", "PYTHONPATH": "/app/src", "CUDA": "new", "MORE": "1",
    }  # fmt: skip
    assert made.labels[BASE] == new.digest and made.labels["dynamo.bento"] == "a:1"
    assert (made.settings["User"], made.settings["Entrypoint"]) == ("10001:0", ["python", "-m", "dynamo.worker"])
    assert b"registry.example/base:2" in made.manifest


def test_over_the_same_base_it_is_the_same_image() -> None:
    """Nothing is lost and nothing is added."""
    old = base()
    image = over(old)
    again = rebase_image(image, old, ImageReference.parse("127.0.0.1:5000/base:1").with_digest(old.digest), old)
    assert (json.loads(again.config)["rootfs"], again.labels) == (json.loads(image.config)["rootfs"], image.labels)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"python": {"version": "3.12.1", "executable": "/usr/bin/python3"}}, "Python 3.11.7"),
        ({"python": {"version": "3.11.8", "executable": "/usr/bin/python3"}}, "by that very version"),
        ({"python": {"version": "3.11.7", "executable": "/opt/python3"}}, "its scripts start /usr/bin/python3"),
        ({"platform": {"glibc": "2.31", "cuda": "12.4"}}, "glibc 2.36, the base has 2.31"),
        ({"platform": {"glibc": "2.36", "cuda": "12.1"}}, "cuda 12.4, the base has 12.1"),
        ({"platform": {"glibc": "2.36", "cuda": "13.0"}}, "CUDA 12.4, the base has 13.0"),
        ({"packages": [{"name": "torch", "version": "2.6.0"}]}, "torch 2.5.1, the new one 2.6.0"),
        ({"packages": []}, "torch 2.5.1, the new one none"),
    ],
)
def test_what_would_not_fit(changed: dict[str, object], said: str) -> None:
    """Each reason is in the one line; `force` does it all the same."""
    image, new = over(base()), base(b"new", **changed)
    with pytest.raises(ImageBuildError, match="does not fit over") as refused:
        rebase_image(image, new, NEW)
    assert said in refused.value.message and refused.value.hints
    assert rebase_image(image, new, NEW, force=True).layers[0].digest == new.layers[0].digest


def test_newer_is_fine_where_it_is_compatible() -> None:
    """A newer glibc, CUDA of the same major version, and another patch of Python without compiled modules."""
    new = base(
        b"new",
        python={"version": "3.11.9", "executable": "/usr/bin/python3"},
        platform={"glibc": "2.39", "cuda": "12.8"},
    )
    assert find_misfits(over(base(), "none"), new) == []


def test_another_platform_does_not_fit() -> None:
    """An image for one processor stays with it."""
    new = base(b"new")
    arm = OciImage.compose({**new.document, "architecture": "arm64"}, new.layers)
    assert "for linux/amd64, the base for linux/arm64" in find_misfits(over(base()), arm)[0]


def test_images_of_other_tools_are_refused() -> None:
    """Without a mark there is no telling what is the base."""
    with pytest.raises(ImageBuildError, match="does not say which of its layers"):
        rebase_image(handmade.image(), base(), NEW)
    nameless = over(base())
    nameless = nameless.with_config({**nameless.settings, "Labels": {}})
    with pytest.raises(ImageBuildError, match="does not say which of its layers"):
        rebase_image(replace(nameless), base(), NEW)
