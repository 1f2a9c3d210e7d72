"""Packages split into layers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.builders.oci.groups import OTHERS, choose_group, group_packages
from dynamo_build.model.image import PackagesLayer

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), min_size=1, max_size=60, unique=True)


def planned(versions: dict[str, str]) -> PackagesLayer:
    lines = [f"{name}=={version} --hash=sha256:{'0' * 64}\n" for name, version in versions.items()]
    return PackagesLayer(packages=(), requirements="".join(lines), python="3.11", platform="linux/amd64")


@given(NAMES)
def test_every_package_is_in_one_group(names: list[str]) -> None:
    """None is lost, none is twice, and those not known to be large share a few groups."""
    found = group_packages(planned(dict.fromkeys(names, "1.0")))
    assert sorted(package.name for group in found for package in group.layer.packages) == sorted(names)
    assert len({choose_group(name) for name in names if choose_group(name).startswith("others-")}) <= OTHERS
    assert all(group.layer.requirements.count("==") == len(group.layer.packages) for group in found)


@given(NAMES)
def test_a_new_version_changes_one_group(names: list[str]) -> None:
    """Neither another version nor another package moves anything between groups."""
    before = {group.layer.requirements for group in group_packages(planned(dict.fromkeys(names, "1.0")))}
    after = {
        group.layer.requirements for group in group_packages(planned({**dict.fromkeys(names, "1.0"), names[0]: "2.0"}))
    }
    assert len(before - after) == len(after - before) == 1


def test_large_ones_are_alone() -> None:
    """torch is alone; the many small parts of CUDA are one group, but for the largest of them."""
    assert choose_group("torch") == "torch"
    assert choose_group("nvidia-cudnn-cu12") == "nvidia-cudnn"
    assert choose_group("nvidia-nvtx-cu12") == choose_group("nvidia-cufft-cu12") == "nvidia"
    assert group_packages(planned({"small": "1", "torch": "1"}))[0].name == "packages: torch"
