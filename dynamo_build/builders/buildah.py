"""Image builders over buildah and podman, which need no daemon and can run commands in the image.

The result is handed over as an OCI layout and delivered by our own registries and engine, so that pushes, mounts and
logins are the same for every builder. Source: buildah-build(1), podman-build(1).
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamo_build.builders import secrets
from dynamo_build.builders.context import DOCKERFILE, write_context
from dynamo_build.builders.deliver import deliver_image
from dynamo_build.errors import ImageBuildError, ToolMissing
from dynamo_build.events import Finished, Listener, Started
from dynamo_build.model.image import (
    HEALTHCHECK,
    Destination,
    Image,
    ImagePlan,
    ToEngine,
)
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layout
from dynamo_build.oci.budget import explain_excess
from dynamo_build.oci.layer import STAMP
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries import docker_engine
from dynamo_build.seams import Surroundings
from dynamo_build.system import process
from dynamo_build.system.scratch import create_scratch_folder

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


class BuildahBuilder:
    """Builds with `buildah`, isolated as BUILDAH_ISOLATION says, else by chroot, which needs no runtime."""

    program = "buildah"

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._environment = surroundings.environment

    def problems(self, plan: ImagePlan, to: Destination) -> tuple[str, ...]:
        """Why this plan cannot be built to this destination. Raises ToolMissing without the program."""
        del plan
        self._find_program()
        if isinstance(to, ToEngine) and not (to.address or docker_engine.find_engine(self._environment)):
            return ("no Docker Engine answers",)
        return ()

    def build(self, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        """Build and deliver. Raises ImageBuildError, RegistryError or ToolMissing."""
        self._find_program()
        base = self._surroundings.registry(plan.base).pull(plan.base, plan.platform)
        with create_scratch_folder(self._surroundings.cache, f"{self.program}-") as folder:
            what = f"build {plan.name}:{plan.version} with {self.program}"
            on(Started(what=what))
            identity = self._build_image(plan, folder, on)
            self._run_program("push", "--quiet", identity, f"oci:{folder}/image:built", folder=folder, on=on)
            on(Finished(what=what, detail=identity))
            image = _replace_base(base, layout.read_image(folder / "image", plan.platform, "built"))
            if plan.budget and (said := explain_excess(plan.budget, image.size, ())):
                raise ImageBuildError(*said)
            return deliver_image(image, plan, to, self._surroundings, on, builder=self.program)

    def _find_program(self) -> str:
        found = shutil.which(self.program, path=self._environment.get("PATH"))
        if found is None:
            raise ToolMissing(
                f"the program `{self.program}` is missing",
                [f"Install {self.program}, or build with `--builder oci` or `--builder docker`."],
            )
        return found

    def _build_image(self, plan: ImagePlan, folder: Path, on: Listener) -> str:
        packed, source = folder / "context.tar", folder / "context"
        with packed.open("wb") as out:
            for piece in write_context(plan, buildkit=False):
                out.write(piece)
        with tarfile.open(packed) as archive:
            archive.extractall(source, filter="data")
        packed.unlink()
        arguments = {"BASE_IMAGE": _read_identity(plan.base)} | {
            name: self._environment[name]
            for proxy in _PROXIES
            for name in (proxy, proxy.lower())
            if self._environment.get(name)
        }
        self._run_program(
            "build", "--format", "docker", "--layers", "--timestamp", str(STAMP),
            "--isolation", self._environment.get("BUILDAH_ISOLATION") or "chroot", "--network", "host",
            "--platform", plan.platform, "--file", str(source / DOCKERFILE), "--iidfile", str(folder / "identity"),
            *secrets.command_options(plan.secrets),
            *(["--tls-verify=false"] if self._is_plain(plan.base) else []),
            *secrets.build_arguments(arguments, self._environment),
            str(source), folder=folder, on=on,
        )  # fmt: skip
        return (folder / "identity").read_text().strip()

    def _is_plain(self, base: ImageReference) -> bool:
        return base.host.partition(":")[0] in ("localhost", "127.0.0.1") or base.host in self._surroundings.insecure

    def _run_program(self, *words: str, folder: Path, on: Listener) -> None:
        try:
            process.run_program([self._find_program(), *words], on=on, environment=self._environment, folder=folder)
        except process.ProgramFailed as error:
            said = [line for line in error.tail if line.strip()]
            raise ImageBuildError(
                f"{self.program} could not {words[0]} the image: {said[-1] if said else error.message}",
                [f"See its output above; `{self.program} info` shows its setup."],
            ) from error


class PodmanBuilder(BuildahBuilder):
    """Builds with `podman`, which has buildah in it."""

    program = "podman"


def _read_identity(base: ImageReference) -> str:
    if base.folder:
        return f"oci:{base.folder}" + (f":{base.tag}" if base.tag else "")
    return str(ImageReference(base.host, base.path, "" if base.digest else base.tag, base.digest))


def _replace_base(base: OciImage, built: OciImage) -> OciImage:
    """The image with the base's own blobs where they unpack to the same, and the health check that OCI leaves out.

    Comments of the history name intermediate images, whose ids are drawn by chance; without them a second build over
    an empty storage gives the same image.
    """
    below = {layer.diff_id: layer for layer in base.layers}
    settings: Mapping[str, Any] = {**built.settings, "Healthcheck": HEALTHCHECK}
    layers = tuple(below.get(layer.diff_id, layer) for layer in built.layers)
    history = [
        {name: value for name, value in entry.items() if name != "comment" or not str(value).startswith("FROM ")}
        for entry in built.document.get("history") or []
        if isinstance(entry, dict)
    ]
    return OciImage.compose({**built.document, "config": settings, "history": history}, layers)
