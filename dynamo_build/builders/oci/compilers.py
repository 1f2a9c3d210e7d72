"""Children that compile modules, one for each core and for all packages: a start costs as much as thirty modules."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dynamo_build.errors import ImageBuildError

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
