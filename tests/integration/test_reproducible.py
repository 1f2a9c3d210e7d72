"""The same bento over the same base is the same image: elsewhere, as another user, at another time, after a kill."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layout, validate
from support import handmade
from support.registry import running

SCRIPT = Path(__file__).resolve().parent / "build_once.py"
PYTHON = f'{{"version":"{sys.version.split()[0].rstrip("+")}","executable":"/usr/local/bin/python3"}}'


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Wheels and a base in a folder that any user may read."""
    folder = Path(tempfile.mkdtemp(prefix="reproducible-"))
    folder.chmod(0o755)
    (folder / "wheels").mkdir()
    noise = random.Random(1)
    for name in ("numpy", "alpha", "beta", "gamma"):
        text = "".join(f"def f{number}(x):\n    return x in {{1, 2, {number}, 'é'}}\n" for number in range(300))
        files = {f"{name}/__init__.py": text.encode(), f"{name}/data.bin": noise.randbytes(600_000)}
        filename, content = handmade.distribution(name, "1.0", files, f"{name} = {name}:f1")
        (folder / "wheels" / filename).write_bytes(content)
    handmade.base_folder(folder / "base", handmade.image(labels={"dynamo.python": PYTHON}))
    yield folder
    shutil.rmtree(folder)


def command(place: Path, own: Path, reference: str, base: str = "", cache: Path | None = None) -> list[str]:
    base = base or f"oci:{place / 'base'}:base"
    return [
        *(sys.executable, str(SCRIPT), str(place / "wheels"), str(own / "bento"), str(cache or own / "cache")),
        *(base, reference),
    ]


def built(place: Path, own: Path, *, cache: Path | None = None, before: Sequence[str] = (), **how: object) -> str:
    """The digests of an image built in a folder of its own."""
    changed = how.pop("environment", {})
    assert isinstance(changed, dict)
    environment = {"PATH": os.environ["PATH"], "HOME": str(own), **changed}
    done = subprocess.run(
        [*before, *command(place, own, f"oci:{own / 'out'}:v1", cache=cache)],
        env=environment, capture_output=True, text=True, check=False, **how,  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def expected(place: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(place, tmp_path_factory.mktemp("first"))


@pytest.mark.parametrize(
    ("environment", "umask"),
    [
        ({"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "1"}, 0o022),
        ({"LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "77", "SOURCE_DATE_EPOCH": "1"}, 0o077),
        ({"JOBS": "1"}, 0o000),
        ({"JOBS": "8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "1"}, 0o027),
    ],
)
def test_the_surroundings_do_not_show(
    place: Path, expected: str, tmp_path: Path, environment: dict[str, str], umask: int
) -> None:
    """Time zone, locale, hash seed, umask, folder, and how many layers are made at once."""
    assert built(place, tmp_path, environment=environment, umask=umask) == expected


def test_another_year_does_not_show(place: Path, expected: str, tmp_path: Path) -> None:
    """The clock of the whole build, its children included, is set to another time."""
    libfaketime = pytest.importorskip("libfaketime")
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    clock = {"LD_PRELOAD": str(library), "FAKETIME": "@2031-05-06 07:08:09", "DONT_FAKE_MONOTONIC": "1"}
    told = subprocess.run(["date", "+%Y"], env={**os.environ, **clock}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "2031"
    assert built(place, tmp_path, environment=clock) == expected


def test_neither_a_warm_cache_nor_a_later_day_shows(place: Path, expected: str, tmp_path: Path) -> None:
    """The second build takes all layers from the cache, the third makes them from files with other stamps."""
    assert built(place, tmp_path) == expected
    assert built(place, tmp_path) == expected
    for path in (tmp_path / "bento").rglob("*"):
        os.utime(path, (1, 1))
    shutil.rmtree(tmp_path / "cache")
    assert built(place, tmp_path) == expected


@pytest.mark.root
@pytest.mark.usefixtures("as_root")
def test_another_user_builds_the_same(place: Path, expected: str) -> None:
    """Someone without any rights, in a folder of theirs."""
    with tempfile.TemporaryDirectory() as name:
        own = Path(name)
        os.chown(own, 20457, 20457)
        # may read this checkout, wherever it is, and nothing more
        change = ["setpriv", "--reuid=20457", "--regid=20457", "--clear-groups"]
        change += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        assert built(place, own, before=change, cwd="/") == expected


@pytest.mark.parametrize("push", [False, True], ids=["folder", "registry"])
def test_a_kill_leaves_the_cache_whole(place: Path, expected: str, tmp_path: Path, push: bool) -> None:
    """Killed at many moments of the build and of the push, the next run makes the same image from what is left."""
    with running() as (address, _):
        base = ImageReference.parse(f"{address}/team/base:v1")
        around = catalog.default_surroundings({}, tmp_path / "none")
        around.registry(base).push(layout.read_image(place / "base", "linux/amd64", "base"), (base,), ignore)
        reference = f"{address}/team/app:v1" if push else f"oci:{tmp_path / 'out'}:v1"
        line = command(place, tmp_path, reference, str(base) if push else "")
        begun = time.monotonic()
        subprocess.run(
            command(place, tmp_path / "timed", f"oci:{tmp_path / 'timed/out'}:v1"),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        whole = time.monotonic() - begun
        for step in range(8):
            process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(whole * (0.35 + 0.08 * step))
            process.kill()
            process.wait()
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected
        held = ImageReference.parse(reference)
        image = catalog.default_surroundings({}, tmp_path / "other").registry(held).pull(held, "linux/amd64")
        assert validate.find_image_problems(image) == ()
