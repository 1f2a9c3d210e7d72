"""The uv program: its path, and its names for the platforms of images."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dynamo_build.errors import ToolMissing

#: The oldest glibc that is aimed at; wheels for it run on all newer ones.
PLATFORMS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}


def program(environment: Mapping[str, str]) -> str:
    """Where uv is. Raises ToolMissing."""
    named = environment.get("DYNAMO_UV", "")
    if named:
        return named
    beside = Path(sys.executable).with_name("uv")
    if os.access(beside, os.X_OK):
        return str(beside)
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    found = shutil.which("uv", path=environment.get("PATH"))
    if found is None:
        raise ToolMissing("there is no `uv` to lock packages with", ["Install it: `pip install uv`."])
    return found
