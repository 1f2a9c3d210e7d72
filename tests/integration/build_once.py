"""One build of a small bento in a process of its own: `build_once.py WHEELS FOLDER CACHE BASE REFERENCE` prints digests.

The wheels decide the packages; FOLDER gets the bento; REFERENCE is where the image goes (`oci:` or a registry).
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dynamo_build import catalog
from dynamo_build.events import ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from support import handmade


def main() -> None:
    wheels, folder, cache, base, reference = sys.argv[1:]
    lines = []
    for path in sorted(Path(wheels).iterdir()):
        name, version, *_ = path.name.split("-")
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    sources = {"graph.py": "print('hello')\n", "data/words.txt": "one two\n" * 1000, "naïve/été.txt": "x"}
    made = handmade.bento(Path(folder), sources, "".join(lines))
    environment = {
        **os.environ,
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": wheels,
        "UV_CACHE_DIR": f"{cache}/uv",
    }
    around = catalog.default_surroundings(environment, Path(cache))
    where = ImageReference.parse(base)
    exact = where.with_digest(around.registry(where).resolve(where))
    plan = replace(plan_image(made, exact, "linux/amd64"), jobs=int(os.environ.get("JOBS", "0")))
    to = ImageReference.parse(reference)
    destination = ToFolder(folder=to.folder, tag=to.tag) if to.folder else ToRegistry(references=(to,))
    image = catalog.find_builder("oci", around).build(plan, destination, ignore)
    print(image.digest, image.config_digest)


if __name__ == "__main__":
    main()
