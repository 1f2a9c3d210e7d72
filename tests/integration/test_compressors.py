"""The bytes of a layer on other processors: the same compressor gives the same blob with every set of instructions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, io, sys
from pathlib import Path
from dynamo_build.oci import layer
from dynamo_build.oci.compression import create_compressor
from dynamo_build.oci.layer import Entry
entries = [Entry(path=f"a/{path.name}", content=path) for path in sorted(Path(sys.argv[1]).iterdir())]
for name in sys.argv[2:]:
    out = io.BytesIO()
    layer.write_layer(entries, out, create_compressor(name))
    print(name, hashlib.sha256(out.getvalue()).hexdigest())
"""
#: Without AVX, with AVX, with AVX2.
PROCESSORS = ("Nehalem", "SandyBridge", "Haswell")


def test_instruction_sets_do_not_show(tmp_path: Path) -> None:
    """This processor and three emulated ones, for gzip, zlib and zstd."""
    emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if emulator is None or os.uname().machine != "x86_64":
        pytest.skip("needs qemu-x86_64 (qemu-user) on x86-64")
    (tmp_path / "files").mkdir()
    library = Path(os.__file__).parent
    for path in sorted(library.glob("*.py"))[:60]:
        shutil.copy(path, tmp_path / "files")
    (tmp_path / "files/noise").write_bytes(bytes((number * 7919 + number // 251) % 256 for number in range(300_000)))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "files"), "gzip", "zlib", "zstd"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    expected = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(expected.splitlines()) == 3
    for processor in PROCESSORS:
        done = subprocess.run([emulator, "-cpu", processor, *command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected, processor
