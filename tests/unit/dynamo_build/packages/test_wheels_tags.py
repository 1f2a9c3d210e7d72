"""Whether a wheel runs in an image."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dynamo_build.packages.wheels import misfit


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("py3-none-any", ""),
        ("py2.py3-none-any", ""),
        ("py310-none-any", ""),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", ""),
        ("cp311-cp311-manylinux2014_x86_64", ""),
        ("cp39-abi3-manylinux_2_28_x86_64", ""),
        ("py3-none-manylinux_2_34_x86_64.manylinux_2_17_x86_64", ""),
        ("cp310-cp310-any", "is for cp310, and the image has Python 3.11"),
        ("cp312-abi3-any", "is for cp312, and the image has Python 3.11"),
        ("py27-none-any", "is for py27, and the image has Python 3.11"),
        ("cp311-cp311-manylinux_2_34_x86_64", "needs glibc 2.34, and images are made for 2.28"),
        ("cp311-cp311-manylinux_2_17_aarch64", "does not run on linux/amd64"),
        ("cp311-cp311-macosx_11_0_x86_64", "does not run on linux/amd64"),
        ("cp311-cp311-musllinux_1_2_x86_64", "does not run on linux/amd64"),
        ("cp311-cp311-win_amd64", "does not run on linux/amd64"),
    ],
)
def test_its_name_says_where_it_runs(tags: str, reason: str) -> None:
    """Its Python, its machine, its C library."""
    assert misfit(Path(f"my_lib-1.0-{tags}.whl"), ["linux/amd64"], "3.11") == reason


@pytest.mark.parametrize(("symbols", "reason"), [(b"GLIBC_2.2.5\0GLIBC_2.14", ""), (b"GLIBC_2.14\0GLIBC_2.38", "2.38")])
def test_what_was_compiled_here_is_looked_at(tmp_path: Path, symbols: bytes, reason: str) -> None:
    """Its tag says nothing of the C library, its symbols do."""
    path = tmp_path / "a-1-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("a/_native.cpython-311-x86_64-linux-gnu.so", symbols)
        wheel.writestr("a/data.txt", b"GLIBC_2.99")
    assert (reason in (found := misfit(path, ["linux/amd64"], "3.11"))) and bool(reason) == bool(found)


@pytest.mark.parametrize("name", ["a.whl", "a-1-any.whl", "", "a-1-py3-none-any.zip"])
def test_another_name_is_none(name: str) -> None:
    """It is told."""
    assert misfit(Path(name), ["linux/amd64"], "3.11") == "is not the name of a wheel"
