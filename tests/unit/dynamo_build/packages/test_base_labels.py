"""Packages that the base brings along."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import ImageBuildError
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import PackagesLayer
from dynamo_build.model.plan import LockedPackage
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages.base_labels import exclude_provided, list_provided_packages
from support import handmade

TORCH = LockedPackage(name="torch", version="2.5.1")
ALPHA = LockedPackage(name="alpha", version="1.0")


@pytest.mark.parametrize(
    "label", ["", "{", "null", "3", '["torch"]', '[{"name":"torch"}]', '[{"name":1,"version":"2"}]']
)
def test_a_label_that_says_nothing(label: str) -> None:
    """A damaged label provides nothing."""
    assert list_provided_packages({"dynamo.packages": label}) == {}


def test_names_are_normalised() -> None:
    """As PEP 503 compares them."""
    label = '[{"name":"Flash_Attn","version":"2.7","imports":["flash_attn"]}]'
    assert list_provided_packages({"dynamo.packages": label}) == {"flash-attn": "2.7"}


@pytest.mark.parametrize("version", ["2.5.1", "2.5.1+cu124"])
def test_the_same_version_is_left_out(version: str) -> None:
    """A local part, which says how the base built it, does not count."""
    assert exclude_provided((ALPHA, TORCH), {"torch": version, "other": "3"}) == (ALPHA,)


def test_another_version_is_refused_unless_allowed() -> None:
    """All of them are named at once; allowed, the locked one is installed."""
    given = {"torch": "2.4.0", "alpha": "0.9"}
    with pytest.raises(ImageBuildError, match=r"alpha 0\.9, locked is 1\.0; torch 2\.4\.0, locked is 2\.5\.1"):
        exclude_provided((ALPHA, TORCH), given)
    assert exclude_provided((ALPHA, TORCH), given, override=True) == (ALPHA, TORCH)


def test_the_plan_installs_the_rest(tmp_path: Path) -> None:
    """Neither the packages nor the requirements name what is left out; when all is there, there is no layer."""
    bento = handmade.bento(tmp_path, requirements="alpha==1.0\nbeta==2.0\n")
    base = ImageReference.parse("registry.example/base:1")
    found = plan_image(bento, base, "linux/amd64", given={"beta": "2.0"}).layers[0]
    assert isinstance(found, PackagesLayer)
    assert [package.name for package in found.packages] == ["alpha"] and "beta" not in found.requirements
    rest = plan_image(bento, base, "linux/amd64", given={"alpha": "1.0", "beta": "2.0"}).layers
    assert not [item for item in rest if isinstance(item, PackagesLayer)]
