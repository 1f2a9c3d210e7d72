"""The uv program: its path, and its names for the platforms of images."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from dynamo_build.errors import ToolMissing

#: The oldest glibc that is aimed at; wheels for it run on all newer ones.
PLATFORMS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}


#: find_uv_bin asks sysconfig, whose first answer to two threads at once may be incomplete.
_FINDING = threading.Lock()


def program(environment: Mapping[str, str]) -> str:
    """The path of uv: `DYNAMO_UV`, beside this Python, from the package `uv`, or in PATH. Raises ToolMissing."""
    named = environment.get("DYNAMO_UV", "")
    if named:
        return named
    beside = Path(sys.executable).with_name("uv")
    if os.access(beside, os.X_OK):
        return str(beside)
    try:
        from uv import find_uv_bin

        with _FINDING:
            return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    found = shutil.which("uv", path=environment.get("PATH"))
    if found is None:
        raise ToolMissing("there is no `uv` on this machine", ["Install it: `pip install uv`."])
    return found
