"""Images where nothing is at hand: a fresh runner over a large base, a layer of 4 GB, and twenty services with an image each.

Needs the real parts and root (`make stack-up`); without them it says so and writes no table.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from bench_image import COLUMNS, rows
from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layer
from dynamo_build.oci.compression import compressor
from dynamo_build.oci.layer import Entry, Layer
from image_bento import DYNAMO, Project, missing
from image_peers import fresh_engine, peers
from measure import Cost, median, once

SIZE = int(os.environ.get("BENCH_BASE", str(2 << 30)))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PACKAGES = ("numpy==2.2.6", "scipy==1.15.3", "pandas==2.2.3")
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
    """Measure and write the tables to the path given."""
    tables: list[dict[str, object]] = []
    absent = missing() + ([] if os.geteuid() == 0 and shutil.which("dockerd") else ["root and dockerd"])
    if absent:
        print(f"left out: fresh runners need {', '.join(absent)} (make stack-up)", file=sys.stderr)
    else:
        wanted = os.environ.get("BENCH_SETS", "fresh,services,memory").split(",")
        for name, measured in (("fresh", fresh_runner), ("services", services), ("memory", memory)):
            if name in wanted:
                with tempfile.TemporaryDirectory() as scratch:
                    tables.append(measured(Path(scratch)))
    Path(sys.argv[1]).write_text(json.dumps(tables))


def fresh_runner(scratch: Path) -> dict[str, object]:
    """A changed line on a machine that holds the bento and nothing else; the last image and the base are in the registry."""
    project = Project(scratch / "p", PACKAGES)
    base = large_base(project, scratch)
    target = f"{project.repository}/ours:v1"
    fresh = scratch / "fresh"
    empty = f"rm -rf {fresh} && mkdir -p {fresh} && ln -s {project.home}/bentos {fresh}/bentos"
    elsewhere = {**project.environment, "DYNAMO_HOME": str(fresh), "UV_CACHE_DIR": str(fresh / "uv")}
    first = once(project.containerize(target, base=base), project.bento, project.environment)
    change = project.changed("fresh", ROUNDS + 1)
    push = project.containerize(target, tag="$TAG", base=base)
    line = f"{change} && {empty} && {' '.join(push)} > {scratch}/said"
    ours = [once(["sh", "-c", line], project.source, elsewhere) for _ in range(ROUNDS)]
    with relay(os.environ["REGISTRY"]) as (address, moved):
        far = " ".join(push).replace(os.environ["REGISTRY"], address)
        once(["sh", "-c", f"{change} && {empty} && {far} > {scratch}/said"], project.source, elsewhere)
    bytes_of = {"ours, packages as they were": sum(moved)}
    costs: dict[str, Cost] = {
        "ours, packages as they were": median(ours),
        "ours, all layers to be made and pushed": first,
    }
    for peer in peers(scratch):
        if peer.name == "docker-py":  # the classic builder again
            continue
        pushed = f"{project.repository}/{peer.name.split()[0].lower()}:v1"
        folder = project.copy(peer.name)
        with contextlib.ExitStack() as stack:
            variables = {**project.environment, **peer.environment}
            if peer.name == "buildah":
                for name in ("buildah", "buildah-run"):
                    shutil.rmtree(scratch / name, ignore_errors=True)
            else:
                variables |= stack.enter_context(fresh_engine())
            address, moved = stack.enter_context(relay(os.environ["REGISTRY"]))
            command = peer.command(
                base.replace(os.environ["REGISTRY"], address), pushed.replace(os.environ["REGISTRY"], address)
            )
            costs[peer.name] = once(command, folder, variables)
            bytes_of[peer.name] = sum(moved)
        shutil.rmtree(folder)
    mine = bytes_of["ours, packages as they were"]
    notes = [
        f"The base has {SIZE / 1e9:.1f} GB in the registry. The peers' engines start empty and are running already; once each.",
        *(f"{name}: {count:,} bytes moved to and from the registry." for name, count in bytes_of.items()),
        *(f"Ours moves {100 * mine / count:.4f} % of {name}'s." for name, count in bytes_of.items() if count != mine),
        "BuildKit could keep its cache in the registry (`--cache-to`, or inline) and skip installing, but a COPY over cached "
        "layers still pulls them; `COPY --link` with a newer BuildKit avoids that. The classic builder and buildah cannot.",
        "Goal: at least 20 times less wall and at most 1 % of the bytes.",
    ]
    title = f"Fresh runner: one line of code → pushed, over a base of {SIZE / 1e9:.1f} GB"
    return {
        "title": title,
        "columns": COLUMNS,
        "rows": rows(costs, costs["ours, packages as they were"]),
        "notes": notes,
    }


def services(scratch: Path) -> dict[str, object]:
    """Twenty services, each over a base name of its own: twenty images that share all packages."""
    project = Project(scratch / "p", PACKAGES)
    (project.source / "hello_world.py").unlink()
    names = range(20)
    parts = "\n".join(SERVICE.format(base=project.base, number=number) for number in names)
    edges = "".join(f"    s{number} = depends(Service{number})\n" for number in names)
    (project.source / "many.py").write_text(GRAPH.format(services=parts, depends=edges, base=project.base))
    reference = ImageReference.parse(project.base)
    registry = catalog.surroundings().registry(reference)
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


def large_base(project: Project, scratch: Path) -> str:
    """The base with random layers over it, in the registry; pushed once."""
    reference = ImageReference.parse(project.base)
    registry = catalog.surroundings().registry(reference)
    image = registry.pull(reference, "linux/amd64")
    added = []
    for number in range(8):
        content = scratch / f"noise-{number}"
        with content.open("wb") as out:
            for _ in range(SIZE // 8 >> 20):
                out.write(secrets.token_bytes(1 << 20))
        blob = scratch / f"layer-{number}"
        with blob.open("wb") as out:
            entries = [Entry(path=f"opt/noise-{number}", content=content)]
            digest, diff_id, size = layer.write(entries, out, compressor("gzip"))
        content.unlink()
        added.append(
            Layer(digest=digest, diff_id=diff_id, size=size, name="noise", source=lambda blob=blob: blob.open("rb"))
        )
    made = image.with_layers(added)
    config = {**made.document, "history": [{"created_by": "noise"} for _ in made.layers]}
    made = type(made).compose(config, made.layers)
    to = ImageReference.parse(f"{project.repository}/base:large")
    registry.push(made, (to,), ignore)
    for number in range(8):
        (scratch / f"layer-{number}").unlink()
    return str(to)


@contextlib.contextmanager
def relay(target: str) -> Iterator[tuple[str, list[int]]]:
    """An address that leads to the target, and the bytes that went through it in pieces."""
    moved: list[int] = []
    server = socket.create_server(("127.0.0.1", 0))
    host, _, port = target.rpartition(":")

    def copy(source: socket.socket, to: socket.socket) -> None:
        buffer = bytearray(1 << 20)
        with contextlib.suppress(OSError):
            while count := source.recv_into(buffer):
                moved.append(count)
                to.sendall(memoryview(buffer)[:count])
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = server.accept()
                there = socket.create_connection((host, int(port)))
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}", moved
    finally:
        server.close()


if __name__ == "__main__":
    main()
