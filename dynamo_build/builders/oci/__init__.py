"""The builder that needs neither a daemon nor root: it writes layers and documents, and hands them to a registry."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from dynamo_build import engine
from dynamo_build.builders.oci import configuration, packages
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Event, Finished, Listener, Noted, Started
from dynamo_build.model.image import (
    BuiltLayer,
    Destination,
    FilesLayer,
    Image,
    ImagePlan,
    PackagesLayer,
    PlannedLayer,
    SetupCommand,
    SystemPackages,
    ToEngine,
    ToFolder,
    ToRegistry,
    WheelLayer,
)
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci.cache import LayerCache
from dynamo_build.oci.image import OciImage
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.seams import Surroundings

NAME = "oci"


class OciBuilder:
    """Makes an image by appending layers to a base that is never unpacked, and seldom fetched."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._cache = LayerCache(surroundings.cache / "layers")

    def problems(self, plan: ImagePlan, to: Destination) -> tuple[str, ...]:
        """What the plan asks for that needs something to run in the image."""
        found = []
        if any(isinstance(layer, SystemPackages) for layer in plan.layers):
            found.append("system packages are installed by a command in the image, which this builder cannot run")
        if any(isinstance(layer, SetupCommand) for layer in plan.layers):
            found.append("setup commands run in the image, which this builder cannot do")
        if plan.template:
            found.append("a Dockerfile template of the project's is for builders that read Dockerfiles")
        if isinstance(to, ToEngine) and not (to.address or engine.available(self._surroundings.environment)):
            found.append("no Docker Engine answers")
        return tuple(found)

    def build(self, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        """Build and deliver. Raises ImageBuildError, RegistryError or ToolMissing."""
        if found := self.problems(plan, to):
            raise ImageBuildError("; ".join(found), ["Use `--builder docker`, or give another destination."])
        base = self._surroundings.registry(plan.base).pull(plan.base, plan.platform)
        configuration.check_base(base, plan)
        interpreter = str(configuration.python(base).get("executable") or "/usr/bin/env python3")
        layers = [self._layer(plan, planned, interpreter, on) for planned in plan.layers]
        image = base.with_layers(layers)
        image = image.with_config(configuration.settings(base, plan), configuration.notes(plan))
        return self._deliver(image, plan, to, on)

    def _layer(self, plan: ImagePlan, planned: PlannedLayer, interpreter: str, on: Listener) -> Layer:
        bento = Path(plan.bento)
        match planned:
            case PackagesLayer():
                return self._packages(planned, interpreter, on)
            case WheelLayer():
                return self._cache.made(_wheel(bento / planned.wheel, planned.target), "runtime")
            case FilesLayer():
                return self._cache.made(_files(bento / planned.folder, planned), planned.name)
            case _:
                raise ImageBuildError("this builder runs nothing in the image", ["Use `--builder docker`."])

    def _packages(self, planned: PackagesLayer, interpreter: str, on: Listener) -> Layer:
        key = packages.key(planned, interpreter)
        if kept := self._cache.find(key, "packages"):
            return kept
        what = f"install {len(planned.packages)} packages for {planned.platform}"
        on(Started(what=what))
        self._surroundings.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="packages-", dir=self._surroundings.cache) as temporary:
            folder = Path(temporary, "packages")
            packages.install(planned, folder, self._surroundings.environment, on)
            layer = self._cache.keep(key, packages.entries(folder, interpreter, on), "packages")
        on(Finished(what=what, detail=f"{layer.size / 1e6:.1f} MB packed, without bytecode"))
        return layer

    def _deliver(self, image: OciImage, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        sent: dict[str, str] = {}

        def heard(event: Event) -> None:
            if isinstance(event, Finished) and event.what.startswith("layer sha256:"):
                sent[event.what.removeprefix("layer ")] = event.detail
            else:
                on(event)

        match to:
            case ToRegistry():
                self._surroundings.registry(to.references[0]).push(image, to.references, heard)
                first = to.references[0]
                reference = str(ImageReference(first.host, first.path, "", image.digest))
            case ToFolder():
                target = ImageReference(LAYOUT, str(Path(to.folder).absolute())[1:], to.tag)
                self._surroundings.registry(target).push(image, (target,), heard)
                reference = str(target)
            case ToEngine():
                address = to.address or engine.available(self._surroundings.environment)
                reference = engine.load(image, to.reference, address, on)
        if image.labels.get("dynamo.production") == "false":
            on(Noted(text="the base says that it is not for production"))
        return Image(
            reference=reference,
            digest=image.digest,
            config_digest=image.config_digest,
            platform=plan.platform,
            size=image.size,
            layers=tuple(
                BuiltLayer(
                    digest=layer.digest,
                    diff_id=layer.diff_id,
                    size=layer.size,
                    name=layer.name or "base",
                    sent=sent.get(layer.digest, "sent") == "sent",
                )
                for layer in image.layers
            ),
            base=str(plan.base),
            services=plan.services,
            builder=NAME,
        )


def _files(folder: Path, planned: FilesLayer) -> list[Entry]:
    target = planned.target.strip("/")
    found = [Entry(path=target)]
    for path in planned.paths:
        source = folder / path
        if source.is_symlink() or not source.is_file():
            raise ImageBuildError(f"`{path}` is missing in `{folder}`", ["Build the bento again."])
        found.append(Entry(path=f"{target}/{path}", content=source, executable=bool(source.stat().st_mode & 0o100)))
    return found


def _wheel(wheel: Path, target: str) -> list[Entry]:
    """A pure wheel's files; it has no scripts that would need an installer."""
    found = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    executable = bool(member.external_attr >> 16 & 0o100)
                    path = f"{target.strip('/')}/{member.filename}"
                    found.append(Entry(path=path, content=archive.read(member), executable=executable))
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageBuildError(
            f"the runtime's wheel `{wheel.name}` cannot be read: {error}", ["Build the bento again."]
        ) from error
    return found
