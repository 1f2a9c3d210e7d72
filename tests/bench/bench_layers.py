"""Layers in quantity: twenty services with an image each, and one layer of 4 GB.

Needs the real parts (`make stack-up`); without them it says so and writes no table.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from bench_image import COLUMNS, LARGE, rows
from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from image_bento import DYNAMO, Project, missing
from measure import once

GRAPH = """
from dynamo.sdk import api, depends, dynamo_endpoint, service

{services}

@service(dynamo={{"enabled": True}}, image="{base}")
class Frontend:
{depends}
    @api
    async def generate(self, text: str) -> str:
        return text
"""
SERVICE = """
@service(dynamo={{"enabled": True}}, image="{base}-{number}")
class Service{number}:
    @dynamo_endpoint()
    async def generate(self, text: str) -> str:
        return text
"""


def main() -> None:
    """Measure and write the tables to the path given; BENCH_SETS picks some."""
    tables: list[dict[str, object]] = []
    if absent := missing():
        print(f"left out: images need {', '.join(absent)} (make stack-up)", file=sys.stderr)
    else:
        wanted = os.environ.get("BENCH_SETS", "services,memory").split(",")
        for name, measured in (("services", services), ("memory", memory)):
            if name in wanted:
                with tempfile.TemporaryDirectory() as scratch:
                    tables.append(measured(Path(scratch)))
    Path(sys.argv[1]).write_text(json.dumps(tables))


def services(scratch: Path) -> dict[str, object]:
    """Twenty services, each over a base name of its own: twenty images that share all packages."""
    project = Project(scratch / "p", LARGE)
    (project.source / "hello_world.py").unlink()
    names = range(20)
    parts = "\n".join(SERVICE.format(base=project.base, number=number) for number in names)
    edges = "".join(f"    s{number} = depends(Service{number})\n" for number in names)
    (project.source / "many.py").write_text(GRAPH.format(services=parts, depends=edges, base=project.base))
    reference = ImageReference.parse(project.base)
    registry = catalog.default_surroundings().registry(reference)
    image = registry.pull(reference, "linux/amd64")
    registry.push(image, tuple(reference.with_tag(f"{reference.tag}-{number}") for number in names), ignore)
    tag = project.said([*DYNAMO, "build", "many:Frontend", "--output", "name"]).strip()
    found = scratch / "said"
    target = f"{project.repository}/many:v1"
    command = [*DYNAMO, "containerize", tag, "-t", target, "--push", "--output", "json"]
    cost = once(["sh", "-c", f"{' '.join(command)} > {found}"], project.source, project.environment)
    images = json.loads(found.read_text())
    sent: dict[str, int] = {}
    uploads = 0
    for item in images:
        for part in item["layers"]:
            if part["sent"] and part["name"] != "base":
                uploads += 1
                sent[part["digest"]] = part["size"]
    blobs = sum(1 for _ in (project.home / "cache/layers/blobs").iterdir())
    notes = [
        f"{len(images)} images; {uploads} uploads of {len(sent)} different layers, {sum(sent.values()) / 1e6:.1f} MB in all; "
        f"the local cache holds {blobs} layers.",
        "Goal: packages are stored and sent once.",
    ]
    table = {"title": "Twenty services with an image each", "columns": COLUMNS, "notes": notes}
    return {**table, "rows": rows({"ours, all images cold": cost}, cost)}


def memory(scratch: Path) -> dict[str, object]:
    """A layer of 4 GB: a sparse file among the sources, since its reading costs the same."""
    project = Project(scratch / "p")
    size = 4 << 30
    with (project.source / "weights.bin").open("wb") as out:
        out.truncate(size)
    tag, _ = project.build(())
    command = project.containerize(f"{project.repository}/weights:v1", tag=tag)
    costs = {"ours, a layer of 4 GB": once(command, project.source, project.environment)}
    note = f"Peak memory {costs['ours, a layer of 4 GB'].memory >> 20} MiB (goal: at most 200 MB)."
    return {
        "title": "Memory of a 4 GB layer",
        "columns": COLUMNS,
        "rows": rows(costs, costs["ours, a layer of 4 GB"]),
        "notes": [note],
    }


if __name__ == "__main__":
    main()
