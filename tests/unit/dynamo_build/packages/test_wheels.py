"""Packages that no index has, as wheels in the bento: built here with the real uv and git, offline."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dynamo_build.bento.export import export, take
from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from dynamo_build.bento.verify import verify
from dynamo_build.errors import LockError
from dynamo_build.events import Listener
from dynamo_build.model.plan import WHEELS, BuildOptions, Lock, LockedPackage, Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.lock import carried, lock
from dynamo_build.packages.lockers.given import GivenLocker
from dynamo_build.packages.requirements import require
from dynamo_build.packages.wheels import Wheels
from dynamo_build.seams import Surroundings
from support import handmade
from support.projects import planned, write_project

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "My_Lib"
version = "1.2"
requires-python = ">=3.11"
[tool.hatch.build.targets.wheel]
packages = ["my_lib"]
"""
LIBRARY = {"pyproject.toml": PYPROJECT, "my_lib/__init__.py": "x = 1\n", "my_lib/data.txt": "d"}
#: The same with a part in C, which asks for the newest glibc that it can.
NATIVE = {
    "pyproject.toml": f"{PYPROJECT}\n[tool.hatch.build.hooks.custom]\n",
    "my_lib/__init__.py": "",
    "my_lib/_native.c": """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native"};
const char *where = __FILE__;
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
""",
    "hatch_build.py": """
import os, pathlib, shlex, subprocess, sysconfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        target = "my_lib/_native" + sysconfig.get_config_var("EXT_SUFFIX")
        include, root = sysconfig.get_paths()["include"], pathlib.Path(self.root)
        command = ["gcc", "-g", "-shared", "-fPIC", f"-I{include}", *shlex.split(os.environ["CFLAGS"])]
        subprocess.run([*command, str(root / "my_lib/_native.c"), "-o", str(root / target)], check=True)
        build_data.update(pure_python=False, infer_tag=True)
        build_data["artifacts"].append(target)
""",
}
MACHINE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "")
OTHER = {"linux/amd64": "linux/arm64", "linux/arm64": "linux/amd64"}.get(MACHINE, "")


def wheels(cache: Path) -> Wheels:
    return Wheels(environment={**os.environ, "UV_OFFLINE": "1", "UV_NO_BUILD_ISOLATION": "1"}, cache=cache)


def library(folder: Path, files: Mapping[str, str] = LIBRARY) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Resolver:
    """Locks what it is asked for by name, as uv does: `name==version` to that, an address of git to its commit."""

    def __init__(self, commit: str = "") -> None:
        self.commit = commit
        self.asked: list[Requirements] = []

    def lock(self, wanted: Requirements, project: Path, on: Listener) -> Lock:
        self.asked.append(wanted)
        pins = [line.partition("==") for line in wanted.lines if "==" in line]
        packages = [
            LockedPackage(name=name, version=version, hashes=("sha256:" + "0" * 64,)) for name, _, version in pins
        ]
        for line in wanted.lines:
            if " @ git+" in line:
                name, _, address = line.partition(" @ ")
                packages.append(
                    LockedPackage(name=name, version="", source=f"{address.rpartition('@')[0]}@{self.commit}")
                )
        return Lock(python=wanted.python, packages={"linux/amd64": tuple(packages)})


def locked(
    project: Path, cache: Path, resolver: Resolver, options: BuildOptions | None = None
) -> tuple[Lock, Requirements]:
    wanted, problems, _ = require(project, [], options or BuildOptions())
    assert problems == []
    given = GivenLocker(Surroundings())
    return lock(wanted, project, given=given, resolver=resolver, wheels=wheels(cache)), wanted


@pytest.mark.parametrize("line", ["./libs/lib", "my-lib @ ./libs/lib", "-e ./libs/lib"])
def test_a_folder_travels_as_a_wheel(tmp_path: Path, line: str) -> None:
    """It is in the bento under its digest, the same bytes from another place; a change there asks for a new lock."""
    project = write_project(tmp_path / "p", {"requirements.txt": f"{line}\n"})
    library(project / "libs/lib")
    resolver = Resolver()
    found, wanted = locked(project, tmp_path / "cache", resolver)
    (package,) = found.packages["linux/amd64"]
    assert (package.name, package.version, package.wheel) == ("my-lib", "1.2", "my_lib-1.2-py3-none-any.whl")
    assert lockfile.load(project / lockfile.NAME)[1].packages == found.packages
    path = carried(found, wanted, project, wheels(tmp_path / "cache"))[package.wheel]
    assert package.hashes == (f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",)
    shutil.copytree(project, tmp_path / "elsewhere/q")
    (tmp_path / "elsewhere/q/libs/lib/build").mkdir()
    assert locked(tmp_path / "elsewhere/q", tmp_path / "cache2", resolver)[0].packages == found.packages
    assert len(resolver.asked) == 1, "the lock that lies beside it fits"
    again = carried(found, wanted, tmp_path / "elsewhere/q", wheels(tmp_path / "cache2"))
    assert again[package.wheel].read_bytes() == path.read_bytes()
    (project / "libs/lib/my_lib/__init__.py").write_text("x = 2\n")
    assert locked(project, tmp_path / "cache", resolver)[0].packages["linux/amd64"][0].hashes != package.hashes
    assert len(resolver.asked) == 2


def test_a_wheel_travels_as_it_is(tmp_path: Path) -> None:
    """A bento with it is whole, verified, exported and imported; uv is told where it lies."""
    name, content = handmade.distribution("odd", "1.0", {"odd.py": b""})
    project = write_project(tmp_path / "p", {"requirements.txt": f"./wheels/{name}\n"})
    (project / "wheels").mkdir()
    (project / "wheels" / name).write_bytes(content)
    resolver = Resolver()
    found, wanted = locked(project, tmp_path / "cache", resolver)
    assert "odd==1.0" in resolver.asked[0].lines and (Path(resolver.asked[0].wheels[0]) / name).is_file()
    carrying = carried(found, wanted, project, wheels(tmp_path / "cache"))
    bento = pack(planned(project), found, Store(tmp_path / "home"), wheels=carrying)
    assert (Path(bento.folder) / WHEELS / name).read_bytes() == content
    assert verify(Path(bento.folder), bento.manifest) == ()
    other = take(export(bento, tmp_path / "x.bento"), Store(tmp_path / "other"))
    (Path(other.folder) / WHEELS / name).write_bytes(b"")
    assert verify(Path(other.folder), other.manifest) == (f"`{WHEELS}/{name}` was changed",)
    requirements = (Path(bento.folder) / "env/python/requirements-linux-amd64.txt").read_text()
    assert requirements == f"odd==1.0 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


def test_a_commit_travels_as_a_wheel(tmp_path: Path) -> None:
    """The lock names the commit; with the lock alone another machine makes the same wheel."""
    source = library(tmp_path / "source")
    git = ["git", "-C", str(source), "-c", "user.email=a@example.com", "-c", "user.name=a"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    project = write_project(tmp_path / "p", {"requirements.txt": f"my-lib @ git+file://{source}@main\n"})
    found, wanted = locked(project, tmp_path / "cache", Resolver(commit))
    (package,) = found.packages["linux/amd64"]
    assert (package.version, package.source) == ("1.2", f"git+file://{source}@{commit}")
    text = (project / lockfile.NAME).read_text()
    assert f"# wheel {package.wheel} from {package.source}\nmy-lib==1.2 \\\n    --hash={package.hashes[0]}\n" in text
    assert locked(project, tmp_path / "cache2", Resolver())[0].packages == found.packages
    path = carried(found, wanted, project, wheels(tmp_path / "cache2"))[package.wheel]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == package.hashes[0][7:]


def test_what_cannot_travel_is_one_line(tmp_path: Path) -> None:
    """A wheel for one machine, a folder that cannot be built, a wheel that came out otherwise."""
    name, content = handmade.distribution("odd", "1.0", {"odd.py": b""})
    name = name.replace("-any", "-linux_riscv64")
    project = write_project(tmp_path / "p", {"requirements.txt": f"./{name}\n"})
    (project / name).write_bytes(content)
    with pytest.raises(LockError, match="does not run on"):
        locked(project, tmp_path / "cache", Resolver())
    library(project / "lib")
    (project / "requirements.txt").write_text("./lib\n")
    (project / "lib/pyproject.toml").write_text(PYPROJECT.replace("hatchling.build", "hatchling.nothing"))
    with pytest.raises(LockError, match="cannot be built") as caught:
        locked(project, tmp_path / "cache", Resolver())
    assert "\n" not in caught.value.message
    library(project / "lib")
    found, wanted = locked(project, tmp_path / "cache", Resolver())
    (kept,) = (tmp_path / "cache/wheels").glob("*/my_lib*.whl")
    kept.write_bytes(content)
    with pytest.raises(LockError, match="different wheel than the lock has"):
        carried(found, wanted, project, wheels(tmp_path / "cache"))


@pytest.mark.skipif(
    not MACHINE or shutil.which("gcc") is None, reason="there is no compiler for images of this machine"
)
def test_native_code_is_built_for_images_of_this_machine(tmp_path: Path) -> None:
    """The same bytes from another folder; for another machine or Python it is one line."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    project = write_project(tmp_path / "p", {"requirements.txt": "./lib\n"})
    library(project / "lib", NATIVE)
    options = BuildOptions(platforms=(MACHINE,), python=python)
    found, wanted = locked(project, tmp_path / "cache", Resolver(), options)
    ((package,),) = found.packages.values()
    assert package.wheel.endswith(f"-linux_{os.uname().machine}.whl")
    one = wheels(tmp_path / "cache").local(wanted.local[0], project, (MACHINE,), python)
    shutil.copytree(project, tmp_path / "elsewhere/q")
    two = wheels(tmp_path / "cache2").local(wanted.local[0], tmp_path / "elsewhere/q", (MACHINE,), python)
    assert one.digest == two.digest == package.hashes[0]
    with pytest.raises(LockError, match=f"does not run on {OTHER}"):
        locked(project, tmp_path / "cache", Resolver(), BuildOptions(platforms=(MACHINE, OTHER), python=python))
    with pytest.raises(LockError, match=r"is for cp3\d+, and the image has Python 3.30"):
        wheels(tmp_path / "cache").local(wanted.local[0], project, (MACHINE,), "3.30")
