"""Say what this image provides, as the labels that the toolchain reads. Runs in the image; standard library only.

python describe.py [--variant cuda|cpu] [--framework NAME]     the labels, as one JSON object
python describe.py --sizes                                     bytes of each package, as one JSON object
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

#: The first driver for every release of a CUDA major. Source: CUDA release notes, "minor version compatibility".
DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
_MODULE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\.py|\.so|\.cpython-[^/]*\.so|\.abi3\.so|/)")


def labels(variant: str, framework: str) -> dict[str, str]:
    """The labels by name; each value is JSON without spaces."""
    return {
        "dynamo.python": _json(python()),
        "dynamo.platform": _json(surroundings(variant)),
        "dynamo.packages": _json(packages()),
        "dynamo.framework": framework,
        "dynamo.variant": variant,
    }


def python() -> dict[str, str]:
    """The interpreter: its exact version, tag, where packages lie, and its path."""
    return {
        "version": platform.python_version(),
        "tag": f"cp{sys.version_info.major}{sys.version_info.minor}",
        "site": sysconfig.get_path("purelib"),
        "executable": sys.executable,
    }


def surroundings(variant: str) -> dict[str, str]:
    """What compiled code rests on: glibc, and for CUDA its version and the first driver that runs it."""
    found = {"glibc": (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")}
    version = cuda() if variant == "cuda" else ""
    if version:
        found["cuda"] = version
        driver = DRIVERS.get(int(version.split(".")[0]))
        if driver:
            found["driver"] = driver
    return found


def cuda() -> str:
    """`13.0`, by the runtime that is installed as a package, else by the base's own word; empty without either."""
    for found in metadata.distributions():
        name = (found.metadata["Name"] or "").lower()
        if re.fullmatch(r"nvidia-cuda-runtime(-cu\d+)?", name):
            return ".".join(found.version.split(".")[:2])
    return ".".join(os.environ.get("CUDA_VERSION", "").split(".")[:2])


def packages() -> list[dict[str, object]]:
    """Each installed distribution: normalised name, version, the modules that it can be imported by."""
    found: dict[str, dict[str, object]] = {}
    for each in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower()
        if name:
            found[name] = {"name": name, "version": each.version, "imports": modules(each)}
    return [found[name] for name in sorted(found)]


def modules(distribution: metadata.Distribution) -> list[str]:
    """The top-level names that its files give."""
    tops = set()
    for path in distribution.files or ():
        name = path.as_posix()
        match = _MODULE.match(name)
        if match and (name.endswith((".py", ".so")) or ".so." in name) and "-info/" not in name:
            tops.add(match.group(1))
    return sorted(tops - {"__pycache__"})


def sizes() -> dict[str, int]:
    """Bytes of each package's own files, without bytecode."""
    found: dict[str, int] = {}
    for each in metadata.distributions():
        total = 0
        for path in each.files or ():
            try:
                total += Path(str(each.locate_file(path))).stat().st_size
            except OSError:
                continue
        found[each.metadata["Name"] or "?"] = total
    return found


def _json(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=("cuda", "cpu"), default="cpu", help="what the image computes with")
    parser.add_argument("--framework", default="none", help="what serves models in it")
    parser.add_argument("--sizes", action="store_true", help="bytes of each package instead")
    options = parser.parse_args()
    print(_json(sizes() if options.sizes else labels(options.variant, options.framework)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
