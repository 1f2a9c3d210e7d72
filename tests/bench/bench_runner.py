"""Images where nothing is at hand: a changed line on a fresh runner, over a large base that the registry has.

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
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench_image import COLUMNS, rows
from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layer
from dynamo_build.oci.compression import create_compressor
from dynamo_build.oci.layer import Entry, Layer
from image_bento import Project, missing
from image_peers import fresh_engine, peers
from measure import Cost, median, once

SIZE = int(os.environ.get("BENCH_BASE", str(2 << 30)))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
#: Which peers take part, by names with commas between; all by default. And how many seconds one of them may take.
PEERS = tuple(name for name in os.environ.get("BENCH_PEERS", "").split(",") if name)
LIMIT = float(os.environ.get("BENCH_LIMIT", "3600"))
PACKAGES = ("numpy==2.2.6", "scipy==1.15.3", "pandas==2.2.3")


def main() -> None:
    """Measure and write the tables to the path given."""
    tables: list[dict[str, object]] = []
    absent = missing() + ([] if os.geteuid() == 0 and shutil.which("dockerd") else ["root and dockerd"])
    if absent:
        print(f"left out: fresh runners need {', '.join(absent)} (make stack-up)", file=sys.stderr)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            tables.append(fresh_runner(Path(scratch)))
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
        if peer.name == "docker-py" or (PEERS and peer.name not in PEERS):  # docker-py: the classic builder again
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
            cost, name = within(command, folder, variables), peer.name
            if cost is None:
                name, cost = f"{peer.name}, stopped before its end", Cost(wall=LIMIT, cpu=0, memory=0)
            costs[name], bytes_of[name] = cost, sum(moved)
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


def within(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost | None:
    """What the command costs; None when it takes too long."""
    begun = time.monotonic()
    try:
        return once(["timeout", "--kill-after=5", str(LIMIT), *command], folder, environment)
    except RuntimeError:
        if time.monotonic() - begun < LIMIT:
            raise
        return None


def large_base(project: Project, scratch: Path) -> str:
    """The base with random layers over it, in the registry; pushed once."""
    reference = ImageReference.parse(project.base)
    registry = catalog.default_surroundings().registry(reference)
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
            digest, diff_id, size = layer.write_layer(entries, out, create_compressor("gzip"))
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
