"""Report the layers and packages of a base image in the local engine, as Markdown.

    python container/report.py IMAGE [--manifest FILE] [--packages N]

`--manifest` is the image's manifest in a registry: with it, the bytes to pull are shown too. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCKER = os.environ.get("DOCKER", "docker")
SMALL = 500_000
_SETTING = re.compile(r"(/bin/sh -c #\(nop\) +)?(ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|SHELL|USER|VOLUME) ")
_STEP = re.compile(r"^RUN .*(?:install|prepare)\.sh (/?[a-z]+)", re.DOTALL)


@dataclass(frozen=True)
class Layer:
    """One layer: what made it, bytes on disk, bytes to pull (0 where not known)."""

    name: str
    size: int
    packed: int


def said(*command: str, text: str | None = None) -> str:
    """What the engine's client prints. Raises CalledProcessError."""
    return subprocess.run([DOCKER, *command], input=text, capture_output=True, text=True, check=True).stdout


def layers(image: str, manifest: Path | None) -> Iterator[Layer]:
    """From the base up. Steps that only set something have no layer; small ones are shown together."""
    steps = [
        json.loads(line)
        for line in said("history", "--no-trunc", "--human=false", "--format", "{{json .}}", image).splitlines()
    ]
    steps = [step for step in reversed(steps) if not _SETTING.match(step["CreatedBy"])]
    count = len(json.loads(said("image", "inspect", image))[0]["RootFS"]["Layers"])
    steps = steps[-count:]
    packed = [entry["size"] for entry in json.loads(manifest.read_text())["layers"]] if manifest else [0] * count
    small = [0, 0]
    for step, bytes_to_pull in zip(steps, packed, strict=True):
        size = int(step["Size"])
        match = _STEP.search(step["CreatedBy"])
        if size < SMALL:
            small = [small[0] + size, small[1] + bytes_to_pull]
        else:
            yield Layer(match.group(1).replace("/", "dynamo-") if match else "base", size, bytes_to_pull)
    yield Layer("scripts and lock files", small[0], small[1])


def packages(image: str) -> dict[str, int]:
    """Bytes by package, measured in the image."""
    script = (Path(__file__).resolve().parent / "describe.py").read_text()
    command = ["run", "--rm", "--interactive", "--network", "none", image, "python", "-", "--sizes"]
    found: dict[str, int] = json.loads(said(*command, text=script))
    return found


def shown(size: int) -> str:
    """Bytes in decimal megabytes, as registries and engines count."""
    return f"{size / 1e6:,.1f} MB" if size else "-"


def report(image: str, manifest: Path | None, most: int) -> str:
    """Two tables: layers from the base up, packages by size."""
    found = list(layers(image, manifest))
    rows = [f"| {layer.name} | {shown(layer.size)} | {shown(layer.packed)} |" for layer in found]
    total = f"| **all** | {shown(sum(layer.size for layer in found))} | {shown(sum(layer.packed for layer in found))} |"
    sizes = sorted(packages(image).items(), key=lambda item: (-item[1], item[0]))
    listed = [f"| {name} | {shown(size)} |" for name, size in sizes[:most]]
    rest = sum(size for _, size in sizes[most:])
    listed += [f"| {len(sizes) - most} others | {shown(rest)} |"] if len(sizes) > most else []
    head = ["| layer | on disk | to pull |", "|---|---|---|"]
    return "\n".join([*head, *rows, total, "", "| package | on disk |", "|---|---|", *listed])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="a name in the local engine")
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="its manifest in a registry, for the bytes to pull"
    )
    parser.add_argument("--packages", type=int, default=15, metavar="N", help="how many packages to list (default: 15)")
    options = parser.parse_args()
    try:
        print(report(options.image, options.manifest, options.packages))
    except subprocess.CalledProcessError as error:
        print(f"error: {error.stderr.strip() or error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
