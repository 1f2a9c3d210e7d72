"""Layers larger than what may be held in memory."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.registry]
SIZE = 400 << 20
LIMIT = 200_000_000
SCRIPT = """
import re, sys
from pathlib import Path
from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.cache import LayerCache
from dynamo_build.oci.compression import create_compressor
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.oci.layer import Entry

folder, to = Path(sys.argv[1]), ImageReference.parse(sys.argv[2])
layer = LayerCache(folder / "cache", create_compressor("gzip")).make_layer("k", [Entry(path="weights", content=folder / "weights")], "w")
image = OciImage.compose({"os": "linux", "architecture": "amd64", "config": {}}, [layer])
registry = catalog.default_surroundings(cache=folder / "cache").registry(to)
registry.prepare(layer, to, ignore)
registry.push(image, (to,), ignore)
found = registry.pull(to, "linux/amd64").layers[0].open()
while found.read(1 << 20):
    pass
# ru_maxrss would begin with what the parent held when it forked
print(layer.size, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""


def test_a_large_layer_is_never_in_memory(registry: str, tmp_path: Path) -> None:
    """Packed, sent in pieces and read back, with less memory than half of it takes; `make bench` does so with 4 GB."""
    block = os.urandom(1 << 20)
    with (tmp_path / "weights").open("wb") as out:
        for _ in range(SIZE >> 20):
            out.write(block)
    to = f"{registry}/memory/{secrets.token_hex(6)}:v1"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), to], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    (tmp_path / "weights").unlink()
    assert done.returncode == 0, done.stderr
    size, peak = map(int, done.stdout.split())
    assert size > SIZE * 0.9 and peak < LIMIT
