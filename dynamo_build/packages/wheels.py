"""Wheels of packages that no index has: files in a folder, and builds of a folder or a commit.

They travel in the bento, so a build must give the same bytes anywhere: it runs over a copy of what the project would
pack, with a fixed time, and what comes out is written anew (names sorted, stored, stamps of 1980). Native code is for
machines like this one, and another compiler may give other bytes. Each is kept under the digest of what it was made
from. Sources: the binary distribution format (PEP 427); SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynamo_build.errors import LockError
from dynamo_build.events import Listener, Started, ignore
from dynamo_build.model.plan import LocalPackage, LockedPackage
from dynamo_build.oci.layer import STAMP
from dynamo_build.packages import lockfile
from dynamo_build.packages.uv import PLATFORMS, program
from dynamo_build.project import files
from dynamo_build.system import atomic, process
from dynamo_build.system.atomic import is_safe_path
from dynamo_build.system.digest import digest_bytes, digest_file

if TYPE_CHECKING:
    from packaging.tags import Tag

_GIT = re.compile(r"git\+(?P<url>\S+)@(?P<commit>[0-9a-f]{40})(?:#(?P<fragment>\S*))?")
_STAMP = (1980, 1, 1, 0, 0, 0)
_HINT = (
    "Only wheels for every platform of the build, its Python and the glibc of its images can travel: "
    "build where these are, or publish wheels to an index."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel in the cache."""

    path: Path
    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheels:
    """Where wheels are kept, and what they are made with."""

    environment: Mapping[str, str]
    cache: Path
    on: Listener = ignore

    def local(self, package: LocalPackage, project: Path, platforms: tuple[str, ...], python: str) -> Wheel:
        """The wheel of a package that lies in a folder or is one. Raises LockError, ToolMissing."""
        where = project / package.path
        if where.suffix == ".whl":
            return self._kept(package.digest, lambda folder: Path(shutil.copy(where, folder)), platforms, python)
        self.on(Started(what=f"building {package.path}"))
        return self._kept(package.digest, lambda folder: self._build(where, folder, package.path), platforms, python)

    def git(self, package: LockedPackage, platforms: tuple[str, ...], python: str) -> Wheel:
        """The wheel of a commit. Raises LockError, ToolMissing."""
        match = _GIT.fullmatch(package.source)
        if match is None:
            raise LockError(f"`{package.source}` of {package.name} does not name a commit", ["Build with `--upgrade`."])
        self.on(Started(what=f"building {package.name} of {match['commit'][:12]}"))
        return self._kept(
            digest_bytes(package.source.encode()),
            lambda folder: self._build_commit(match["url"], match["commit"], match["fragment"] or "", folder),
            platforms,
            python,
        )

    def _kept(self, key: str, make: Callable[[Path], Path], platforms: tuple[str, ...], python: str) -> Wheel:
        folder = self.cache / "wheels" / key.removeprefix("sha256:")[:32]
        known = [path for path in sorted(folder.glob("*.whl")) if not misfit(path, platforms, python)]
        if not known:
            with tempfile.TemporaryDirectory(prefix="dynamo-wheel-") as name, atomic.reporting("write the cache"):
                made = make(Path(name))
                content = made.read_bytes() if key == digest_file(made) else _rewritten(made)
                atomic.keep(folder / made.name, content)
                known = [folder / made.name]
        if reason := misfit(known[0], platforms, python):
            raise LockError(f"`{known[0].name}` {reason}", [_HINT])
        name, version, *_ = known[0].name.split("-")
        return Wheel(
            path=known[0],
            name=lockfile.normalised(name),
            version=version.replace("_", "-"),
            digest=digest_file(known[0]),
        )

    def _build(self, source: Path, folder: Path, shown: str) -> Path:
        copy = source
        if source.is_dir():
            copy = folder / "source"
            for file in files.survey(str(source)).files:
                target = copy / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file.path, target)
        command = [program(self.environment), "build", "--quiet", "--wheel", "--python", sys.executable]
        command += ["--out-dir", str(folder / "out"), str(copy)]
        self._run(command, folder, f"`{shown}` cannot be built")
        found = sorted((folder / "out").glob("*.whl"))
        if len(found) != 1:
            raise LockError(f"building `{shown}` gave {len(found)} wheels")
        return found[0]

    def _build_commit(self, url: str, commit: str, fragment: str, folder: Path) -> Path:
        clone = folder / "clone"
        what = f"the commit {commit[:12]} of `{lockfile.without_credentials(url)}` cannot be fetched"
        self._run(["git", "init", "--quiet", str(clone)], folder, what)
        fetch = ["git", "-C", str(clone), "fetch", "--quiet"]
        try:
            self._run([*fetch, "--depth", "1", url, commit], folder, what)
        except LockError:  # not every server gives a commit by its name
            self._run([*fetch, url, "+refs/*:refs/remotes/origin/*"], folder, what)
        self._run(["git", "-C", str(clone), "checkout", "--quiet", commit], folder, what)
        below = dict(part.split("=", 1) for part in fragment.split("&") if "=" in part).get("subdirectory", "")
        if below and not is_safe_path(below):
            raise LockError(f"the subdirectory {below!r} leads out of the repository")
        return self._build(clone / below, folder, lockfile.without_credentials(url))

    def _run(self, command: list[str], folder: Path, what: str) -> None:
        environment = {**self.environment, "SOURCE_DATE_EPOCH": str(STAMP), "GIT_TERMINAL_PROMPT": "0"}
        for name in ("CFLAGS", "CXXFLAGS"):  # compiled code would tell in which folder it was made
            environment[name] = f"{environment.get(name, '')} -g0 -ffile-prefix-map={folder}=.".lstrip()
        try:
            process.run(command, folder=folder, environment=environment, on=ignore)
        except process.ProgramFailed as error:
            said = " ".join(line.strip() for line in error.tail[-3:] if line.strip())
            raise LockError(f"{what}: {lockfile.without_credentials(said) or error.message}") from error


def _rewritten(path: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(name for name in source.namelist() if not name.endswith("/")):
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.create_system = 3
            executable = (source.getinfo(name).external_attr >> 16) & 0o100
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            target.writestr(entry, source.read(name))
    return buffer.getvalue()


_GLIBC = re.compile(rb"GLIBC_2\.(\d+)")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_\w+")


def misfit(path: Path, platforms: Iterable[str], python: str) -> str:
    """Why a wheel does not run in the images of these platforms with that Python; "" when it does."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename  # few builds hold wheels

    try:
        _, _, _, own_tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        return "is not the name of a wheel"
    if not _python_fits(own_tags, python):
        interpreters = ".".join(sorted({tag.interpreter for tag in own_tags}))
        return f"is for {interpreters}, and the image has Python {python}"
    tags = sorted({tag.platform for tag in own_tags})
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


def _python_fits(own_tags: Iterable[Tag], python: str) -> bool:
    """Whether CPython of that version takes one of the tags, on whatever platform."""
    from packaging.tags import compatible_tags, cpython_tags

    version = tuple(int(part) for part in python.split(".")[:2])
    interpreter = f"cp{version[0]}{version[1]}"
    taken = (*cpython_tags(version, platforms=["any"]), *compatible_tags(version, interpreter, ["any"]))
    known = {(tag.interpreter, tag.abi) for tag in taken}
    return any((tag.interpreter, tag.abi) in known for tag in own_tags)


def _asked(tag: str, path: Path) -> int:
    """The minor number of the glibc that a wheel asks for under this tag; 0 for one that all have."""
    if match := _MANYLINUX.fullmatch(tag):
        return int(match[1])
    if not tag.startswith("linux_"):
        return 0
    with zipfile.ZipFile(path) as wheel:
        compiled = [name for name in wheel.namelist() if ".so" in name.rpartition("/")[2]]
        return max((int(each[1]) for name in compiled for each in _GLIBC.finditer(wheel.read(name))), default=0)
