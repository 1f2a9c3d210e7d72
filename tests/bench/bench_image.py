"""Bento to pushed image: a changed line, a bumped package and a cold build, beside Docker's builders and buildah.

Needs the real parts (`eval "$(bash tests/support/stack.sh env)"`); without them it says so and writes no table.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from image_bento import DYNAMO, LINE, Project, missing
from image_peers import Peer, peers
from measure import Cost, interleaved, median, once

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
#: About 220 MB in an image; the versions are what the third is bumped to, one after the other.
LARGE = ("numpy==2.2.6", "scipy==1.15.3")
BUMPED = ("pandas==2.2.3", "pandas==2.3.0", "pandas==2.3.1", "pandas==2.3.2", "pandas==2.3.3")
GIGABYTE = (*LARGE, BUMPED[0], "pyarrow==20.0.0", "polars==1.30.0", "duckdb==1.3.0", "scikit-learn==1.6.1", "llvmlite==0.44.0", "numba==0.61.2", "opencv-python-headless==4.11.0.86", "sympy==1.14.0", "matplotlib==3.10.3")  # fmt: skip
SETS = {"hello world": (), "numpy, scipy, pandas": (*LARGE, BUMPED[0]), "12 packages, 1 GB": GIGABYTE}
COLUMNS = ["what", "wall", "CPU of the command", "peak memory", "wall against ours"]


def main() -> None:
    """Measure and write the tables to the path given; BENCH_SETS picks sets by their first words."""
    tables: list[dict[str, object]] = []
    if absent := missing():
        print(f"left out: images need {', '.join(absent)} (make stack-up)", file=sys.stderr)
    else:
        wanted = os.environ.get("BENCH_SETS", "hello,numpy").split(",")
        for title, packages in SETS.items():
            if any(title.startswith(word) for word in wanted):
                with tempfile.TemporaryDirectory() as scratch:
                    folder = Path(scratch)
                    project, others = Project(folder / "p", packages), peers(folder)
                    tables.append(cold(project, others, title))
                    tables.append(one_line(project, others, title))
                    if title.startswith("numpy"):
                        tables.append(bump(project, others))
    Path(sys.argv[1]).write_text(json.dumps(tables))


def cold(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """The first build of each: wheels may be in uv's or pip's cache, nothing else is there."""
    target = f"{project.repository}/ours:v1"
    found = {"ours, cold": once(project.containerize(target), project.bento, project.environment)}
    for peer in others:
        if peer.name == "docker-py":  # the classic builder again, with its cache
            continue
        command = peer.command(project.base, f"{project.repository}/{peer.name.split()[0].lower()}:v1", cold=True)
        found[f"{peer.name}, cold"] = once(
            command, project.copy(peer.name), {**project.environment, **peer.environment}
        )
    floor, ours = project.floor(), found["ours, cold"]
    notes = [
        f"Floor (sha256 twice and ISA-L's gzip over the same layers): {floor:.1f} s CPU; ours is {ours.cpu / floor:.1f}× that, with "
        "installing and compiling modules, which the peers' Dockerfile does too.",
        "Once each. Goal with packages: at least 4 times less wall than every peer.",
    ]
    return {"title": f"Cold image: {title}", "columns": COLUMNS, "rows": rows(found, ours), "notes": notes}


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
    if SETS[title]:
        vendored = project.vendored(SETS[title])
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
        "Goal with packages: never slower than BuildKit, at least 12 times faster than docker-py; nothing changed: at most 0.6 s.",
    ]
    return {
        "title": f"One line of code → pushed: {title}",
        "columns": COLUMNS,
        "rows": rows(costs, reference),
        "notes": notes,
    }


def bump(project: Project, others: Sequence[Peer]) -> dict[str, object]:
    """Another version of one package each round; BuildKit in every round, the slower ones in the first."""
    seen: dict[str, list[Cost]] = {}
    sent: list[str] = []
    for turn, version in enumerate(BUMPED[1:]):
        tag, bento = project.build((*LARGE, version))
        found = project.folder / "result.json"
        line = " ".join(project.containerize(f"{project.repository}/ours:v1", tag=tag))
        cost = once(["sh", "-c", f"{line} > {found}"], project.source, project.environment)
        seen.setdefault("ours, pandas bumped", []).append(cost)
        sent = [layer["name"] for layer in json.loads(found.read_text())["layers"] if layer["sent"]]
        for peer in [peer for peer in others if peer.name != "docker-py"] if turn == 0 else others[:1]:
            command = peer.command(project.base, f"{project.repository}/{peer.name.split()[0].lower()}:v1")
            folder = project.copy(f"{peer.name}-bumped", bento)
            cost = once(command, folder, {**project.environment, **peer.environment})
            seen.setdefault(f"{peer.name}, pandas bumped", []).append(cost)
            shutil.rmtree(folder)
    costs = {name: median(each) for name, each in seen.items()}
    ours = costs["ours, pandas bumped"]
    floor = project.floor(("packages: pandas",))
    notes = [
        f"Layers sent: {', '.join(sent)}. Each version is downloaded by both sides.",
        f"Floor (sha256 twice and ISA-L's gzip over pandas' layer): {floor:.2f} s CPU; ours is {ours.cpu / floor:.1f}× that, with "
        "downloading, installing and compiling.",
        f"Medians of {len(BUMPED) - 1} versions for ours and {others[0].name if others else 'nobody'}; others once. "
        "Goal: at least 10 times less wall than the fastest peer.",
    ]
    return {
        "title": "One package of three bumped → pushed",
        "columns": COLUMNS,
        "rows": rows(costs, ours),
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
