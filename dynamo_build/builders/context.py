"""The build context of an image: its Dockerfile and exactly the files of the plan, as a reproducible tar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dynamo_build.builders.dockerfile import context_path, dockerfile, requirements_path
from dynamo_build.errors import ImageBuildError
from dynamo_build.model.image import FilesLayer, ImagePlan, PackagesLayer, WheelLayer
from dynamo_build.model.plan import WHEELS
from dynamo_build.oci.layer import Entry, tar_of

DOCKERFILE = "env/docker/Dockerfile"


def context(plan: ImagePlan, *, buildkit: bool) -> Iterator[bytes]:
    """The tar, piece by piece: sorted, one stamp, modes 0644 and 0755, without PAX headers (BuildKit takes none).

    Raises ImageBuildError when a file of the plan is missing.
    """
    found = {DOCKERFILE: Entry(path=DOCKERFILE, content=dockerfile(plan, buildkit=buildkit).encode())}
    for layer in plan.layers:
        match layer:
            case PackagesLayer():
                path = requirements_path(plan)
                found[path] = Entry(path=path, content=layer.requirements.encode() or _file(plan, path))
                for name in layer.wheels:
                    path = context_path(plan, f"{WHEELS}/{name}")
                    found[path] = Entry(path=path, content=_file(plan, path))
            case WheelLayer():
                path = context_path(plan, layer.wheel)
                found[path] = Entry(path=path, content=_file(plan, path))
            case FilesLayer():
                top = context_path(plan, layer.folder)
                found.setdefault(top, Entry(path=top))
                for name in layer.paths:
                    path = f"{top}/{name}"
                    file = _file(plan, path)
                    found[path] = Entry(path=path, content=file, executable=bool(file.stat().st_mode & 0o100))
            case _:
                continue
    return tar_of(found.values())


def _file(plan: ImagePlan, path: str) -> Path:
    file = Path(plan.bento, path)
    if not file.is_file() or file.is_symlink():
        raise ImageBuildError(f"the bento lacks the file `{path}`", ["Build the bento again."])
    return file
