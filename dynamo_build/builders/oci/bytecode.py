"""Reproducible bytecode of modules, compiled by the base's exact Python.

Source: PEP 552 (unchecked hash-based pycs). A .pyc of another patch version may differ in rare files, so nothing is
compiled when that very version is not on this machine. Child processes compile, one per core and for all packages: a
start costs as much as thirty modules.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

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
        raise UsageError(f"`{plan.bytecode}` is not a bytecode mode", ["Use auto, none or require."])
    if plan.bytecode == "none":
        return Bytecode()
    for program in _candidates(version, environment) if version else ():
        if _version(program) == f"CPython {version}":
            return Bytecode(version, program, plan.jobs or len(os.sched_getaffinity(0)))
    reason = f"Python {version}, the base's, is not on this machine" if version else "the base names no Python"
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


#: Unchecked hashes, because a timestamp would differ in every build and a checked hash would have every start of a
#: container read every source; layers never change, so nothing can be stale.
#: What does not compile (templates, other versions' syntax) has no .pyc. Strings that the interpreter holds show in
#: what it compiles, so all that is imported here is frozen into it: `py_compile` would load modules of the machine.
_COMPILE = r"""
import os, sys
from importlib.util import source_hash
from importlib._bootstrap_external import _code_to_hash_pyc
asked, answer, known = sys.stdin.buffer, sys.stdout.buffer, set()
for line in asked:
    fields = asked.read(int(line)).decode("utf-8", "surrogateescape").split("\0")
    done = b""
    for source, target, shown in zip(fields[::3], fields[1::3], fields[2::3]):
        with open(source, "rb") as file:
            content = file.read()
        try:
            code = compile(content, shown, "exec", dont_inherit=True, optimize=-1)
        except Exception:
            done += b"0"
            continue
        folder = os.path.dirname(target)
        if folder not in known:
            os.makedirs(folder, exist_ok=True)
            known.add(folder)
        with open(target, "wb") as file:
            file.write(_code_to_hash_pyc(code, source_hash(content), False))
        done += b"1"
    answer.write(done + b"\n")
    answer.flush()
"""
#: -S and a bare environment: what is loaded at start must not show in what is compiled.
_FLAGS = ("-s", "-S", "-W", "ignore", "-c", _COMPILE)
_BARE = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}
_BATCH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module to compile: where it lies, where its .pyc goes, and its path in the image."""

    source: str
    target: str
    shown: str


class Compilers:
    """Up to `count` children of one Python, started when they are needed. To be closed."""

    def __init__(self, program: str, count: int) -> None:
        self._program = program
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="compile")
        self._children: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(count):
            self._children.put(None)

    def compile(self, modules: Sequence[Module]) -> list[str]:
        """The targets that were made. Raises ImageBuildError when a child fails."""
        batches = [modules[start : start + _BATCH] for start in range(0, len(modules), _BATCH)]
        return [target for targets in self._pool.map(self._batch, batches) for target in targets]

    def close(self) -> None:
        """End the children."""
        self._pool.shutdown(cancel_futures=True)
        while not self._children.empty():
            if child := self._children.get():
                _end(child)

    def _batch(self, modules: Sequence[Module]) -> list[str]:
        child = self._children.get()
        try:
            child = child or self._started()
            done = _ask(child, modules)
        except BaseException:
            if child:
                _end(child)
            self._children.put(None)
            raise
        self._children.put(child)
        return [module.target for module, made in zip(modules, done, strict=True) if made == "1"]

    def _started(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self._program, *_FLAGS], cwd="/", env=_BARE, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise _failed(error.strerror or str(error)) from error


def _ask(child: subprocess.Popen[bytes], modules: Sequence[Module]) -> str:
    assert child.stdin and child.stdout and child.stderr
    fields = [field for module in modules for field in (module.source, module.target, module.shown)]
    asked = "\0".join(fields).encode("utf-8", "surrogateescape")
    try:
        child.stdin.write(b"%d\n%s" % (len(asked), asked))
        child.stdin.flush()
        answer = child.stdout.readline()
    except OSError:
        answer = b""
    if len(answer) != len(modules) + 1:
        said = child.stderr.read().decode(errors="replace").strip().splitlines()
        raise _failed(said[-1] if said else "the interpreter ended")
    return answer.decode().rstrip()


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        with contextlib.suppress(OSError):
            if pipe:
                pipe.close()


def _failed(reason: str) -> ImageBuildError:
    return ImageBuildError(f"modules cannot be compiled: {reason}", ["Build with `--bytecode none`."])
