"""Another version of one package: the image pushed again, beside Docker's builders and buildah.

Needs the real parts (`eval "$(bash tests/support/stack.sh env)"`); without them it says so and writes no table.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence

from bench_image import COLUMNS, LARGE, first_builds, rows, written
from image_bento import COMPILING, Project
from image_peers import Peer
from measure import Cost, median, once

#: What the third package is bumped to, one after the other.
BUMPED = ("pandas==2.3.0", "pandas==2.3.1", "pandas==2.3.2", "pandas==2.3.3")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", str(len(BUMPED))))


def main() -> None:
    """Measure and write the table to the path given."""
    written([("numpy, scipy, pandas", LARGE)], (bump,))


def bump(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """Another version each round; BuildKit in every round, the slower ones in the first."""
    del title
    fastest = others[:1]
    first_builds(project, fastest)
    seen: dict[str, list[Cost]] = {}
    sent: list[str] = []
    for turn, version in enumerate(BUMPED[:ROUNDS]):
        tag, bento = project.build((*LARGE[:-1], version))
        found = project.folder / "result.json"
        line = " ".join(project.containerize(f"{project.repository}/ours:v1", tag=tag))
        cost = once(["sh", "-c", f"{line} > {found}"], project.source, project.environment)
        seen.setdefault("ours, pandas bumped", []).append(cost)
        sent = [layer["name"] for layer in json.loads(found.read_text())["layers"] if layer["sent"]]
        for peer in [peer for peer in others if peer.name != "docker-py"] if turn == 0 else fastest:
            command = peer.command(project.base, f"{project.repository}/{peer.name.split()[0].lower()}:v1")
            folder = project.copy(f"{peer.name}-bumped", bento)
            cost = once(command, folder, {**project.environment, **peer.environment})
            seen.setdefault(f"{peer.name}, pandas bumped", []).append(cost)
            shutil.rmtree(folder)
    costs = {name: median(each) for name, each in seen.items()}
    ours = costs["ours, pandas bumped"]
    floor, compiling = project.floor(("packages: pandas",)), project.floor(("packages: pandas",), COMPILING)
    notes = [
        f"Layers sent: {', '.join(sent)}. Wheels come from the index, or from the caches that uv and BuildKit's pip keep.",
        f"Floor (sha256 twice and ISA-L's gzip over pandas' layer): {floor:.2f} s CPU; ours is {ours.cpu / floor:.1f}× that. "
        f"Compiling its modules takes {compiling:.1f} s CPU by itself; the rest is downloading and unpacking.",
        f"Medians of {min(ROUNDS, len(BUMPED))} versions for ours and {others[0].name if others else 'nobody'}; others once. "
        "Goal: at least 10 times less wall than the fastest peer.",
    ]
    return {
        "title": "One package of three bumped → pushed",
        "columns": COLUMNS,
        "rows": rows(costs, ours),
        "notes": notes,
    }


if __name__ == "__main__":
    main()
