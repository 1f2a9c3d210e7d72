"""The same tree gives the same version and the same archive, whoever builds it, where, when and with what installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ALTERED = ROOT / "tests" / "scenarios" / "altered"
HEAVY = """
import torch
from dynamo.sdk import api, service


class Model(torch.nn.Module):
    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@service
class Frontend:
    @api
    async def generate(self, text: str) -> str:
        return text
"""
TORCH = """
class Tensor: ...
class nn:
    class Module: ...
def no_grad():
    return lambda function: function
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user can look into."""
    folder = Path(tempfile.mkdtemp(prefix="dynamo-determinism-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    """A locked project with data, an executable and names that sort differently in other locales."""
    project = place / "source"
    shutil.copytree(ROOT / "examples" / "hello_world", project)
    for name in ("B", "a", "Ä", "ä2", "z/1", "z/10", "z/2", "z-/x", "data.bin"):
        path = project / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    return project


def packed(
    project: Path,
    place: Path,
    *,
    entry: str = "hello_world:Frontend",
    python: Path | str = sys.executable,
    before: Sequence[str] = (),
    **environment: str,
) -> tuple[str, str]:
    """Tag and digest of the archive of a build in processes of its own."""
    home = Path(tempfile.mkdtemp(dir=place))
    home.chmod(0o777)
    out = home / "archive.bento"
    script = (
        f'tag=$("$0" -m dynamo_build build {entry} -o name) && "$0" -m dynamo_build export $tag "$1" >&2 && echo $tag'
    )
    done = subprocess.run(
        [*before, "sh", "-c", script, str(python), str(out)],
        cwd=project,
        env={**clean(), "DYNAMO_HOME": str(home / "home"), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), hashlib.sha256(out.read_bytes()).hexdigest()


def clean() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "PYTHON"))}


@pytest.fixture(scope="module")
def usual(source: Path, place: Path) -> tuple[str, str]:
    return packed(source, place)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"},
        {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2", "LANGUAGE": "tr"},
        {"DYNAMO_IMAGE": "registry.example/base:1", "USER": "somebody", "HOME": "/nonexistent", "COLUMNS": "40"},
        {"PYTHONPATH": str(ALTERED), "SOURCE_DATE_EPOCH": "5"},
    ],
    ids=["C locale", "UTF-8 locale", "DYNAMO_IMAGE", "another day, other folder order"],
)
def test_the_environment_does_not_matter(
    source: Path, place: Path, usual: tuple[str, str], environment: dict[str, str]
) -> None:
    """Locale, zone, hash seed, DYNAMO_IMAGE, user name, clock, order of folders."""
    assert packed(source, place, **environment) == usual


@pytest.mark.parametrize("moment", ["@2041-02-03 04:05:06", "@1991-01-01 00:00:00"])
def test_the_day_does_not_matter(source: Path, place: Path, usual: tuple[str, str], moment: str) -> None:
    """For every process that a build starts, the clock shows another year."""
    libfaketime = pytest.importorskip("libfaketime")
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"), None)
    if library is None:
        pytest.skip("the clock's library is not built for this machine")
    assert packed(source, place, LD_PRELOAD=str(library), FAKETIME=moment, DONT_FAKE_MONOTONIC="1") == usual


def test_the_place_does_not_matter(source: Path, place: Path, usual: tuple[str, str]) -> None:
    """Another folder, made in another order under another umask and with other stamps."""
    project = place / "deeper/down/here"
    project.mkdir(parents=True)
    for path in sorted((path for path in source.rglob("*") if path.is_file()), reverse=True):
        if "__pycache__" in path.parts:
            continue
        target = project / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        target.chmod(0o700 if path.stat().st_mode & 0o100 else 0o400)
        os.utime(target, (86400, 86400))
    assert packed(project, place, before=["sh", "-c", 'umask 077 && exec "$0" "$@"']) == usual


@pytest.mark.root
def test_the_user_does_not_matter(source: Path, place: Path, usual: tuple[str, str], as_root: None) -> None:
    """Built by nobody, who owns nothing of it and may not write beside it."""
    reads = "-all,+dac_read_search"  # the checkout may lie in a folder that is root's alone
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    nobody += [f"--inh-caps={reads}", f"--ambient-caps={reads}", "--bounding-set=" + reads]
    assert packed(source, place, before=nobody, HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1") == usual


def test_the_installation_does_not_matter(source: Path, place: Path, usual: tuple[str, str]) -> None:
    """From an installed wheel as from an editable checkout."""
    uv = str(Path(sys.executable).with_name("uv"))
    offline = [uv, "build", "--quiet", "--offline", "--wheel", "--no-build-isolation", "--python", sys.executable]
    copy = place / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "dynamo_build", "runtime", "templates"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    subprocess.run([*offline, "--out-dir", str(place / "wheel"), str(copy)], check=True, capture_output=True)
    (wheel,) = (place / "wheel").glob("dynamo_build-*.whl")
    environment = place / "installed"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text(f"{next(Path(sys.prefix, 'lib').glob('python*/site-packages'))}\n")
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(environment / "bin/python")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    python = environment / "bin/python"
    where = [str(python), "-c", "import dynamo_build, dynamo; print(dynamo_build.__file__, *dynamo.__path__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, cwd="/", env=dict(clean()))
    assert found.stdout.count(str(packages)) == 2, found.stdout
    assert packed(source, place, python=python) == usual


def test_installed_packages_do_not_matter(place: Path) -> None:
    """A graph that imports what only the image has: the same bento where it is installed and where it is not."""
    project = place / "heavy"
    project.mkdir()
    shutil.copy(ROOT / "examples/hello_world/dynamo.lock", project)
    shutil.copy(ROOT / "examples/hello_world/requirements.txt", project)
    (project / "heavy.py").write_text(HEAVY)
    (project / "dynamo.yaml").write_text("build:\n  runtime_only: [torch]\n")
    (place / "site").mkdir()
    (place / "site/torch.py").write_text(TORCH)
    without = packed(project, place, entry="heavy:Frontend")
    assert packed(project, place, entry="heavy:Frontend", PYTHONPATH=str(place / "site")) == without
