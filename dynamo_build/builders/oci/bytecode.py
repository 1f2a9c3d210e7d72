"""Compiled modules that are the same wherever they are compiled: by the base's exact Python, checked by nothing.

Source: PEP 552 (unchecked hash-based pycs). A .pyc of another patch version may differ in rare files, so without that
very version on this machine there is none.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dynamo_build.builders.oci.compilers import Compilers, Module
from dynamo_build.errors import ImageBuildError, UsageError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import ImagePlan
from dynamo_build.system import process

_ASK = "import platform; print(platform.python_implementation(), platform.python_version())"
#: Tests are most of the modules of some packages, and are not imported in an image.
_LEFT_OUT = {"__pycache__", "test", "tests"}


class Bytecode:
    """How modules of one image are compiled. `version` is "none" where they are not. To be used in `with`."""

    def __init__(self, version: str = "none", program: str = "", jobs: int = 1) -> None:
        self.version = version
        self._tag = f"cpython-{''.join(version.split('.')[:2])}"
        self._compilers = Compilers(program, jobs) if program else None

    def compile(self, files: Mapping[str, Path], root: str, compiled: Path) -> dict[str, Path]:
        """Compile the modules among these files, which will be below `root`, into the folder `compiled`.

        Both mappings go by names relative to the root. Raises ImageBuildError.
        """
        if self._compilers is None:
            return {}
        wanted, found, place = [], {}, compiled.absolute()
        for name in sorted(files):
            folders, _, last = name.rpartition("/")
            parts = folders.split("/")
            if last.endswith(".py") and parts[0] != "bin" and not _LEFT_OUT & set(parts):
                made = f"{folders}/__pycache__/{last[:-3]}.{self._tag}.pyc".lstrip("/")
                target = f"{place}/{made}"
                wanted.append(Module(source=str(files[name].absolute()), target=target, shown=f"{root}/{name}"))
                found[target] = made
        return {found[target]: Path(target) for target in self._compilers.compile(wanted)}

    def close(self) -> None:
        """End what compiles."""
        if self._compilers:
            self._compilers.close()

    def __enter__(self) -> Bytecode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def bytecode(plan: ImagePlan, version: str, environment: Mapping[str, str], on: Listener) -> Bytecode:
    """What compiles for a base whose Python has this full version. Raises UsageError, ImageBuildError."""
    if plan.bytecode not in ("auto", "none", "require"):
        raise UsageError(f"`{plan.bytecode}` is not a choice of bytecode", ["Use auto, none or require."])
    if plan.bytecode == "none":
        return Bytecode()
    for program in _candidates(version, environment) if version else ():
        if _version(program) == f"CPython {version}":
            return Bytecode(version, program, plan.jobs or len(os.sched_getaffinity(0)))
    reason = f"Python {version}, which the base has, is not on this machine" if version else "the base names no Python"
    if plan.bytecode == "require":
        raise ImageBuildError(
            f"modules cannot be compiled: {reason}", ["Install it, or build with `--bytecode none` everywhere."]
        )
    on(Noted(text=f"modules are not compiled: {reason}"))
    return Bytecode()


def _candidates(version: str, environment: Mapping[str, str]) -> list[str]:
    names = (f"python{'.'.join(version.split('.')[:2])}", "python3")
    found = [shutil.which(name, path=environment.get("PATH")) for name in names]
    return list(dict.fromkeys([sys.executable, *(path for path in found if path)]))


def _version(program: str) -> str:
    if program == sys.executable:
        return f"{sys.implementation.name.replace('cpython', 'CPython')} {sys.version.split()[0].rstrip('+')}"
    try:
        return process.run([program, "-I", "-S", "-c", _ASK], timeout=10).strip()
    except process.ProgramFailed:
        return ""
