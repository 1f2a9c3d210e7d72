"""Whether a wheel runs in an image: its Python, its machine, and the C library that its compiled code asks for.

A wheel that was compiled here says no more of itself than `linux_x86_64`; what it asks of glibc stands in the names of
the symbols that it needs. Sources: PEP 425 and PEP 600 (tags), the ELF symbol versions of glibc.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from dynamo_build.packages.uv import PLATFORMS

NAME = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.+!]+)(-\d[^-]*)?"
    r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)
_GLIBC = re.compile(rb"GLIBC_2\.(\d+)")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_\w+")


def misfit(path: Path, platforms: Iterable[str], python: str) -> str:
    """Why a wheel does not run in the images of these platforms with that Python; "" when it does."""
    match = NAME.fullmatch(path.name)
    if match is None:
        return "is not the name of a wheel"
    if not _python_fits(match["python"].split("."), match["abi"], python):
        return f"is for {match['python']}, and the image has Python {python}"
    tags = match["platform"].split(".")
    if tags == ["any"]:
        return ""
    for platform in platforms:
        machine, _, glibc = PLATFORMS[platform].partition("-")
        own = [tag for tag in tags if tag.endswith(f"_{machine}") and tag.startswith(("linux_", "manylinux"))]
        if not own:
            return f"does not run on {platform}"
        oldest = min(_asked(tag, path) for tag in own)
        if oldest > int(glibc.rpartition("_")[2]):
            return (
                f"needs glibc 2.{oldest}, and images are made for {glibc.removeprefix('manylinux_').replace('_', '.')}"
            )
    return ""


def _python_fits(tags: Iterable[str], abi: str, python: str) -> bool:
    minor = int(python.split(".")[1])
    for tag in tags:
        major, number = tag[:3], tag[3:]
        if tag == "py3" or (major in ("py3", "cp3") and number == str(minor)):
            return True
        older = number.isdigit() and int(number) <= minor
        if older and (major == "py3" or (major == "cp3" and abi in ("abi3", "none"))):
            return True
    return False


def _asked(tag: str, path: Path) -> int:
    """The minor number of the glibc that a wheel asks for under this tag; 0 for one that all have."""
    if match := _MANYLINUX.fullmatch(tag):
        return int(match[1])
    if not tag.startswith("linux_"):
        return 0
    with zipfile.ZipFile(path) as wheel:
        compiled = [name for name in wheel.namelist() if ".so" in name.rpartition("/")[2]]
        return max((int(each[1]) for name in compiled for each in _GLIBC.finditer(wheel.read(name))), default=0)
