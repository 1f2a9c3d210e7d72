"""Bento to pushed image: a cold build and a changed line, beside Docker's builders and buildah.

Needs the real parts (`eval "$(bash tests/support/stack.sh env)"`); without them it says so and writes no table.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from image_bento import COMPILING, DYNAMO, LINE, Project, missing
from image_peers import Peer, peers
from measure import Cost, interleaved, once

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
#: About 220 MB in an image.
LARGE = ("numpy==2.2.6", "scipy==1.15.3", "pandas==2.2.3")
GIGABYTE = (*LARGE, "pyarrow==20.0.0", "polars==1.30.0", "duckdb==1.3.0", "scikit-learn==1.6.1", "llvmlite==0.44.0", "numba==0.61.2", "opencv-python-headless==4.11.0.86", "sympy==1.14.0", "matplotlib==3.10.3")  # fmt: skip
SETS = {"hello world": (), "numpy, scipy, pandas": LARGE}
Measured = Callable[[Project, Sequence[Peer], str], dict[str, object]]
COLUMNS = ["what", "wall", "CPU of the command", "peak memory", "wall against ours"]


def main() -> None:
    """Measure and write the tables to the path given; BENCH_SETS picks sets by their first words."""
    wanted = os.environ.get("BENCH_SETS", "hello,numpy").split(",")
    written([each for each in SETS.items() if any(each[0].startswith(word) for word in wanted)], (cold, one_line))


def written(sets: Sequence[tuple[str, Sequence[str]]], measured: Sequence[Measured]) -> None:
    """Write to the path given what is measured with each of the sets; nothing where the real parts are missing."""
    tables: list[dict[str, object]] = []
    if absent := missing():
        print(f"left out: images need {', '.join(absent)} (make stack-up)", file=sys.stderr)
    else:
        for title, packages in sets:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                project, others = Project(folder / "p", packages), peers(folder)
                tables += [measure(project, others, title) for measure in measured]
    Path(sys.argv[1]).write_text(json.dumps(tables))


def cold(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """The first build of each: wheels may be in uv's or pip's cache, nothing else is there."""
    found = first_builds(project, others)
    floor, compiling, ours = project.floor(), project.floor(script=COMPILING), found["ours, cold"]
    notes = [
        f"Floor (sha256 twice and ISA-L's gzip over the same layers): {floor:.1f} s CPU; ours is {ours.cpu / floor:.1f}× that. "
        f"Compiling the modules, which the peers' Dockerfile does too, takes {compiling:.1f} s CPU by itself: over both, ours is "
        f"{ours.cpu / (floor + compiling):.1f}×.",
        "Once each. Goal with packages: at least 4 times less wall than every peer.",
    ]
    return {"title": f"Cold image: {title}", "columns": COLUMNS, "rows": rows(found, ours), "notes": notes}


def first_builds(project: Project, others: Sequence[Peer]) -> dict[str, Cost]:
    """What each builder takes that has nothing of its own yet. docker-py is left out: its cache is the classic builder's."""
    target = f"{project.repository}/ours:v1"
    found = {"ours, cold": once(project.containerize(target), project.bento, project.environment)}
    for peer in others:
        if peer.name != "docker-py":
            command = peer.command(project.base, f"{project.repository}/{peer.name.split()[0].lower()}:v1", cold=True)
            variables = {**project.environment, **peer.environment}
            found[f"{peer.name}, cold"] = once(command, project.copy(peer.name), variables)
    return found


def one_line(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """Medians of interleaved rounds with warm caches."""
    ours = " ".join([*project.containerize(f"{project.repository}/ours:v1"), "> /dev/null"])
    push = " ".join(project.containerize(f"{project.repository}/ours:v1", tag="$TAG"))
    fresh = project.folder / "fresh"
    empty = f"rm -rf {fresh} && mkdir -p {fresh} && ln -s {project.home}/bentos {fresh}/bentos"
    elsewhere = {**project.environment, "DYNAMO_HOME": str(fresh)}
    change = 'echo "# $(date +%s%N)" >> hello_world.py'
    built = f"{' '.join(DYNAMO)} build hello_world:Frontend --output name -q"
    here, away = project.changed("here", ROUNDS + 2), project.changed("away", ROUNDS + 1)
    commands: dict[str, tuple[list[str], Path, Mapping[str, str]]] = {
        "floor: Python and the image rooms' imports": (
            [
                sys.executable,
                "-c",
                "import dynamo_build.builders.oci, dynamo_build.registries.http, dynamo_build.cli.app",
            ],
            project.bento,
            project.environment,
        ),
        "ours, nothing changed": (["sh", "-c", ours], project.bento, project.environment),
        "ours, one line": (["sh", "-c", f"{here} && {push} > /dev/null"], project.source, project.environment),
        "ours, one line, no local cache": (
            ["sh", "-c", f"{away} && {empty} && {push} > /dev/null"],
            project.source,
            elsewhere,
        ),
        "ours, one line, build and containerize": (
            ["sh", "-c", f"{change} && TAG=$({built}) && {push} > /dev/null"],
            project.source,
            project.environment,
        ),
    }
    for peer in others:
        (line,) = peer.command(project.base, f"{project.repository}/{peer.name.split()[0].lower()}:v1")[2:]
        commands[f"{peer.name}, one line"] = (
            ["sh", "-c", f"{LINE} && {line}"],
            project.copy(peer.name),
            {**project.environment, **peer.environment},
        )
    if project.packages:
        vendored = project.vendored(project.packages)
        for peer in (peer for peer in others if peer.name in ("BuildKit", "docker-py")):
            (line,) = peer.command(project.base, f"{project.repository}/vendored-{peer.name.lower()}:v1")[2:]
            variables = {**project.environment, **peer.environment}
            commands[f"{peer.name}, one line, packages in the context"] = (
                ["sh", "-c", f"{LINE} && {line}"],
                vendored,
                variables,
            )
    costs = interleaved(commands, ROUNDS)
    image = json.loads(project.said(["sh", "-c", f"{here} && {push}"]))
    sent = sum(layer["size"] for layer in image["layers"] if layer["sent"])
    reference = costs["ours, one line"]
    floor = costs["floor: Python and the image rooms' imports"]
    notes = [
        f"One line sends {sent:,} bytes in layers (goal: at most 65,536).",
        f"{reference.wall / floor.wall:.2f}× the floor's wall, {reference.cpu / floor.cpu:.2f}× its CPU. The CPU of engines' "
        "daemons is not in their rows.",
        "Two ways to the same image. With the bento's own Dockerfile packages are installed by RUN, and the engine's cache has "
        "that layer: docker-py sends a few kilobytes. With packages in the context, which is what docker-py's default sends whole "
        "for each changed line, the goal of 12 times is meant; in the first case a Python that starts and imports takes longer "
        "than a twelfth of docker-py's time.",
        "Goal with packages: never slower than BuildKit, at least 12 times faster than docker-py; nothing changed: at most 0.6 s.",
    ]
    return {
        "title": f"One line of code → pushed: {title}",
        "columns": COLUMNS,
        "rows": rows(costs, reference),
        "notes": notes,
    }


def rows(costs: Mapping[str, Cost], ours: Cost) -> list[list[str]]:
    """A row for each command."""
    return [
        [name, f"{cost.wall:.2f} s", f"{cost.cpu:.2f} s", f"{cost.memory >> 20} MiB", f"{cost.wall / ours.wall:.2f}×"]
        for name, cost in costs.items()
    ]


if __name__ == "__main__":
    main()
