"""What a bento costs: many files against bentoml, one large file against copying it, growth, listing, memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench_commands import BENTOML
from measure import Cost, once
from peers import environment_of
from plot import plot

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = int(os.environ.get("BENCH_BENTO_ROUNDS", "3"))
LARGE_ROUNDS = int(os.environ.get("BENCH_LARGE_ROUNDS", "7"))
LARGE = int(os.environ.get("BENCH_LARGE_MIB", "2048"))
COUNTS = [int(count) for count in os.environ.get("BENCH_COUNTS", "1000,10000,100000").split(",")]
SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "1,16,256,1024,4096").split(",")]
DOCUMENTS = Path(os.environ.get("BENCH_DOCUMENTS", ROOT / "docs"))
DYNAMO = [sys.executable, "-m", "dynamo_build"]
BUILD = [*DYNAMO, "build", "hello_world:Frontend", "--quiet"]
SETTLED = 2.2  # a file that was touched less than two seconds before it is read is not known by its stamp


def main() -> None:
    """Measure and write the tables to the path given."""
    named = os.environ.get("BENCH_PARTS", "many_files,large_file,growth,heavier,listing").split(",")
    parts = [globals()[part] for part in named]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        scratch = Path(name)
        tables = [part(scratch) for part in parts]
    Path(sys.argv[1]).write_text(json.dumps(tables))


def project_of(folder: Path) -> Path:
    """The hello world example with its lock."""
    shutil.copytree(ROOT / "examples" / "hello_world", folder)
    return folder


def fill(folder: Path, count: int, size: int) -> None:
    """Files that do not compress, a hundred to a folder."""
    chance = random.Random(count)
    for number in range(count):
        path = folder / "data" / f"{number // 100:04}" / f"{number:06}.bin"
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(chance.randbytes(size))


def environment(home: Path) -> Mapping[str, str]:
    return {**os.environ, "DYNAMO_HOME": str(home), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}


def many_files(scratch: Path) -> dict[str, object]:
    """91 MB in 2,400 files, built and exported."""
    project = project_of(scratch / "many")
    fill(project, 2400, 38_000)
    target = scratch / "many.bento"
    script = f'echo x >> notes.txt && "$@" && {sys.executable} -m dynamo_build export frontend {target}'
    ours = ["sh", "-c", script, "sh", *BUILD]
    costs = {"`dynamo build` and `export`": run(ours, project, scratch / "home", ROUNDS)}
    peer = environment_of("bentoml")
    if peer:
        other = scratch / "peer"
        other.mkdir()
        shutil.copytree(project / "data", other / "data")
        (other / "service.py").write_text(BENTOML)
        (other / "bentofile.yaml").write_text("service: service:Frontend\npython:\n  lock_packages: false\n")
        script = f"{peer}/bentoml build && {peer}/bentoml export frontend:latest {scratch}/peer.bento"
        costs["bentoml `build` and `export`, once (no lock, no digests)"] = run(
            ["sh", "-c", script], other, scratch / "peer-home", 1
        )
    sizes = [f"`{path.name}`: {path.stat().st_size / 1e6:.0f} MB" for path in sorted(scratch.glob("*.bento"))]
    clear(scratch)
    return table(
        "91 MB in 2,400 files: build and export", costs, [f"Archives: {', '.join(sizes)}.", "Goal: 20× (wall)."]
    )


def large_file(scratch: Path) -> dict[str, object]:
    """One large file, beside what copying, flushing and digesting it costs."""
    project = project_of(scratch / "large")
    chunk = random.Random(1).randbytes(1 << 20)
    with (project / "weights.bin").open("wb") as stream:
        for number in range(LARGE):
            stream.write(number.to_bytes(4, "big") + chunk[4:])
        stream.flush()
        os.fsync(stream.fileno())
    copy = (
        "import hashlib, os, shutil, sys\n"
        "shutil.copyfile('weights.bin', sys.argv[1])\n"
        "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
        "os.fsync(descriptor)\n"
        "print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())\n"
    )
    floor: list[Cost] = []
    ours: list[Cost] = []
    for _ in range(LARGE_ROUNDS):
        floor.append(once([sys.executable, "-c", copy, str(scratch / "copy")], project, os.environ))
        (scratch / "copy").unlink()
        ours.append(once(BUILD, project, environment(scratch / "home")))
        shutil.rmtree(scratch / "home")
    clear(scratch)
    costs = {"`dynamo build`": median(ours), "floor: copy, fsync, sha256": median(floor)}
    notes = [
        f"Median of {LARGE_ROUNDS}, interleaved. Goal: at most 1.3 times the floor (wall), at most 150 MiB.",
        "Ours writes past the page cache while it digests, so the bento is not in the cache afterwards; the floor's copy is. "
        "What a copy through the cache costs depends on how fast pages come: on virtual machines it varies threefold.",
    ]
    return table(f"One file of {LARGE} MiB", costs, notes)


def growth(scratch: Path) -> dict[str, object]:
    """The first build and one of an unchanged project, from few files to many."""
    rows, first, again = [], [], []
    for count in COUNTS:
        project = project_of(scratch / f"grow{count}")
        fill(project, count, 1000)
        time.sleep(SETTLED)
        first.append((count, once(BUILD, project, environment(scratch / "home"))))
        again.append((count, run(BUILD, project, scratch / "home", ROUNDS)))
        for what, (_, cost) in (("first build", first[-1]), ("nothing changed", again[-1])):
            rows.append([f"{count:,}", what, f"{cost.cpu:.2f} s", f"{cost.wall:.2f} s", f"{cost.memory >> 20} MiB"])
        clear(scratch)
    drawn("growth_files.svg", "Building projects of more and more files of 1 kB", "files", first, again)
    return {
        "title": "Growth: files of 1 kB",
        "columns": ["files", "what", "CPU", "wall", "peak memory"],
        "rows": rows,
        "notes": [
            "Goal: 100,000 unchanged files in at most 1.5 s, at most 150 MiB.",
            "![CPU seconds against the number of files](growth_files.svg)",
        ],
    }


def heavier(scratch: Path) -> dict[str, object]:
    """The first build and one of an unchanged project, from a small file to a large one."""
    rows, first, again = [], [], []
    chunk = random.Random(2).randbytes(1 << 20)
    for size in SIZES:
        project = project_of(scratch / f"weigh{size}")
        with (project / "weights.bin").open("wb") as stream:
            for number in range(size):
                stream.write(number.to_bytes(4, "big") + chunk[4:])
            stream.flush()
            os.fsync(stream.fileno())
        time.sleep(SETTLED)
        first.append((size, once(BUILD, project, environment(scratch / "home"))))
        again.append((size, run(BUILD, project, scratch / "home", ROUNDS)))
        for what, (_, cost) in (("first build", first[-1]), ("nothing changed", again[-1])):
            rows.append([f"{size:,} MiB", what, f"{cost.cpu:.2f} s", f"{cost.wall:.2f} s", f"{cost.memory >> 20} MiB"])
        clear(scratch)
    drawn("growth_bytes.svg", "Building projects with one file, larger and larger", "MiB", first, again)
    return {
        "title": "Growth: one file",
        "columns": ["size", "what", "CPU", "wall", "peak memory"],
        "rows": rows,
        "notes": ["Goal: at most 150 MiB.", "![CPU seconds against the size of the file](growth_bytes.svg)"],
    }


def drawn(name: str, title: str, across: str, first: list[tuple[int, Cost]], again: list[tuple[int, Cost]]) -> None:
    """A picture of growth beside the document of the figures."""
    series = {
        "first build": [(float(count), cost.cpu) for count, cost in first],
        "nothing changed": [(float(count), cost.cpu) for count, cost in again],
    }
    (DOCUMENTS / name).write_text(plot(title, across, "CPU seconds", series))


def listing(scratch: Path) -> dict[str, object]:
    """`dynamo list` of 1,000 bentos."""
    project = project_of(scratch / "listed")
    home = scratch / "home"
    once(BUILD, project, environment(home))
    (made,) = [path for path in (home / "bentos/frontend").iterdir() if path.is_dir()]
    for number in range(999):
        subprocess.run(["cp", "-al", str(made), str(made.with_name(f"v{number}"))], check=True)
    costs = {
        "`dynamo list`, 1,000 bentos": run([*DYNAMO, "list"], project, home, 2 * ROUNDS + 1),
        "`dynamo list`, empty store": run([*DYNAMO, "list"], project, scratch / "empty", 2 * ROUNDS + 1),
    }
    clear(scratch)
    return table("Listing", costs, ["Goal: at most 0.2 s."])


def run(command: list[str], folder: Path, home: Path, rounds: int) -> Cost:
    return median([once(command, folder, environment(home)) for _ in range(rounds)])


def median(costs: list[Cost]) -> Cost:
    return Cost(
        cpu=statistics.median(cost.cpu for cost in costs),
        wall=statistics.median(cost.wall for cost in costs),
        memory=int(statistics.median(cost.memory for cost in costs)),
    )


def clear(scratch: Path) -> None:
    """Room for the next part."""
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def table(title: str, costs: dict[str, Cost], notes: list[str]) -> dict[str, object]:
    """Rows with ratios to the first one."""
    ours = next(iter(costs.values()))
    rows = [
        [
            name,
            f"{cost.cpu:.2f} s",
            f"{cost.wall:.2f} s",
            f"{cost.memory >> 20} MiB",
            f"{cost.cpu / ours.cpu:.2f}×",
            f"{cost.wall / ours.wall:.2f}×",
        ]
        for name, cost in costs.items()
    ]
    columns = ["what", "CPU", "wall", "peak memory", "CPU against ours", "wall against ours"]
    return {"title": title, "columns": columns, "rows": rows, "notes": notes}


if __name__ == "__main__":
    main()
