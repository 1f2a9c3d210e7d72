"""Compiled modules that are the same wherever they are compiled: by the base's exact Python, checked by nothing.

Source: PEP 552 (unchecked hash-based pycs). A .pyc of another patch version may differ in rare files, so without that
very version on this machine there is none.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dynamo_build import process
from dynamo_build.errors import ImageBuildError, UsageError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import ImagePlan

_ASK = "import platform; print(platform.python_implementation(), platform.python_version())"
#: What does not compile (templates, other versions' syntax) has no .pyc; nor have tests, which are most of the modules
#: of some packages and are not imported in an image.
_COMPILE = """
import pathlib, py_compile, sys
source, compiled, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
if not source.is_dir():
    sys.exit(f"{source} is not a folder")
for path in sorted(source.rglob("*.py")):
    name = path.relative_to(source)
    if name.parts[0] == "bin" or {"__pycache__", "test", "tests"} & {*name.parts[:-1]} or path.is_symlink():
        continue
    to = compiled / name.parent / "__pycache__" / f"{name.stem}.{sys.implementation.cache_tag}.pyc"
    try:
        py_compile.compile(
            str(path), str(to), f"{root}/{name.as_posix()}", doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError:
        pass
"""


class Bytecode:
    """How modules of one image are compiled. `version` is "none" where they are not."""

    def __init__(self, version: str = "none", program: str = "") -> None:
        self.version = version
        self._program = program

    def compile(self, folder: Path, root: str, compiled: Path) -> dict[str, Path]:
        """Compile what is in `folder` and will be at `root`, into `compiled`; gives files by their relative names.

        Raises ImageBuildError.
        """
        if not self._program:
            return {}
        compiled.mkdir(parents=True, exist_ok=True)
        # -S and a bare environment: what is loaded at start must not show in what is compiled
        command = [
            self._program,
            "-s",
            "-S",
            "-W",
            "ignore",
            "-c",
            _COMPILE,
            *map(str, (folder.absolute(), compiled.absolute())),
            root,
        ]
        try:
            process.run(command, environment=_BARE, folder=Path("/"))
        except process.ProgramFailed as error:
            raise ImageBuildError(
                f"modules cannot be compiled: {error.message}", ["Build with `--bytecode none`."]
            ) from error
        return {path.relative_to(compiled).as_posix(): path for path in sorted(compiled.rglob("*.pyc"))}


_BARE = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}


def bytecode(plan: ImagePlan, version: str, environment: Mapping[str, str], on: Listener) -> Bytecode:
    """What compiles for a base whose Python has this full version. Raises UsageError, ImageBuildError."""
    if plan.bytecode not in ("auto", "none", "require"):
        raise UsageError(f"`{plan.bytecode}` is not a choice of bytecode", ["Use auto, none or require."])
    if plan.bytecode == "none":
        return Bytecode()
    for program in _candidates(version, environment) if version else ():
        if _version(program) == f"CPython {version}":
            return Bytecode(version, program)
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
