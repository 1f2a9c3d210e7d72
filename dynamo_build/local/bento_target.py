"""A bento as a target of `serve`: its code with the packages of its lock, and nothing else that is installed here."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dynamo_build.bento.export import SUFFIX, take
from dynamo_build.bento.store import Store
from dynamo_build.errors import LockError, UsageError
from dynamo_build.events import Finished, Listener, Started, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import BentoTag
from dynamo_build.packages import uv
from dynamo_build.seams import default_home
from dynamo_build.system import atomic, process

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a supervisor is started with: its folder, the interpreter's switches, and more variables."""

    folder: Path
    switches: tuple[str, ...] = ("-P",)
    environment: Mapping[str, str] = field(default_factory=dict)


def find(target: str, project: Path) -> Bento | None:
    """The bento that a target names: a file, or a tag in the store that is not a module of the project; else None.

    Raises StoreError for a damaged one.
    """
    if target.endswith(SUFFIX) and (project / target).is_file():
        return take(project / target, Store(default_home()))
    name = target.partition(":")[0]
    if (
        not name
        or "/" in name
        or name.endswith(".py")
        or (project / f"{name}.py").exists()
        or (project / name).exists()
    ):
        return None
    try:
        tag = BentoTag.parse(target)
    except UsageError:
        return None
    store = Store(default_home())
    return store.get(tag) if (store.bentos / tag.name).is_dir() else None


def code(bento: Bento, on: Listener = ignore) -> Code:
    """The bento's code; packages are installed once for all bentos of one lock. Raises LockError, UsageError."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if bento.manifest.python != here:
        raise UsageError(
            f"the bento `{bento.tag}` is for Python {bento.manifest.python}, and this is {here}",
            ["Serve it with that Python, or build it again with `--python`."],
        )
    folder = Path(bento.folder)
    system = f"linux-{_MACHINES.get(platform.machine().lower(), platform.machine())}"
    requirements = folder / "env" / "python" / f"requirements-{system}.txt"
    if not requirements.is_file():
        known = ", ".join(bento.manifest.platforms)
        raise UsageError(
            f"the bento `{bento.tag}` is locked for {known}, not for this machine", ["Build it with --platform."]
        )
    wheel = folder / "runtime" / bento.manifest.runtime
    content = requirements.read_bytes()
    key = hashlib.sha256(
        b"\0".join([sys.version.encode(), content, bento.manifest.runtime_digest.encode()])
    ).hexdigest()
    environment = default_home() / "environments" / key[:24]
    if not environment.is_dir():
        _install(requirements, wheel, environment, on)
    path = os.pathsep.join([str(environment / "packages" / "bin"), os.environ.get("PATH", os.defpath)])
    modules = os.pathsep.join(str(part) for part in (folder / "src", environment / "runtime", environment / "packages"))
    variables = {"PYTHONPATH": modules, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return Code(folder=folder / "src", switches=("-P", "-S", "-s"), environment=variables)


def _install(requirements: Path, wheel: Path, into: Path, on: Listener) -> None:
    on(Started(what="install the locked packages"))
    into.parent.mkdir(parents=True, exist_ok=True)
    with atomic.reporting("install the locked packages"), tempfile.TemporaryDirectory(dir=into.parent) as name:
        made = Path(name, "made")
        made.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(made / "runtime")
        (made / "packages").mkdir()
        command = [
            uv.program(os.environ), "pip", "install", "--quiet", "--no-progress", "--require-hashes", "--no-deps",
            "--python", sys.executable, "--target", str(made / "packages"), "--requirements", str(requirements),
        ]  # fmt: skip
        if requirements.read_bytes().strip():
            try:
                process.run(command, on=on, folder=into.parent)
            except process.ProgramFailed as error:
                said = " ".join(line.strip(" ×╰─▶├│") for line in error.tail if line.strip())
                hint = "The index must have the files that were locked; uv reads UV_DEFAULT_INDEX and UV_INDEX."
                raise LockError(
                    f"the locked packages cannot be installed: {said[:600] or error.message}", [hint]
                ) from error
        try:
            made.rename(into)
        except OSError:
            if not into.is_dir():  # else another serve was first
                raise
    on(Finished(what="installed the locked packages"))
