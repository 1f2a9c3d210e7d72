"""The default image builder: writes layers and manifests itself, without a daemon or root."""

from __future__ import annotations

from dynamo.sdk import codec
from dynamo_build.builders.deliver import EarlyUploads, deliver_image
from dynamo_build.builders.oci import configuration
from dynamo_build.builders.oci.bytecode import find_compiler
from dynamo_build.builders.oci.earlier import LABEL, Earlier
from dynamo_build.builders.oci.layers import Layers
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import Destination, Image, ImagePlan, SetupCommand, SystemPackages, ToEngine
from dynamo_build.oci import compression
from dynamo_build.oci.budget import explain_excess
from dynamo_build.oci.cache import LayerCache
from dynamo_build.registries import docker_engine
from dynamo_build.seams import Surroundings

NAME = "oci"


class OciBuilder:
    """Makes an image by appending layers to a base that is never unpacked, and seldom fetched."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def problems(self, plan: ImagePlan, to: Destination) -> tuple[str, ...]:
        """What the plan asks for that needs something to run in the image."""
        found = []
        if any(isinstance(layer, SystemPackages) for layer in plan.layers):
            found.append("system packages need a command in the image, which this builder cannot run")
        if any(isinstance(layer, SetupCommand) for layer in plan.layers):
            found.append("setup commands run in the image, which this builder cannot do")
        if plan.template:
            found.append("the project's Dockerfile template needs a builder that reads Dockerfiles")
        if isinstance(to, ToEngine) and not (to.address or docker_engine.find_engine(self._surroundings.environment)):
            found.append("no Docker Engine answers")
        return tuple(found)

    def build(self, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        """Build and deliver. Raises ImageBuildError, RegistryError or ToolMissing."""
        if found := self.problems(plan, to):
            raise ImageBuildError("; ".join(found), ["Use `--builder docker`, or give another destination."])
        compressor = compression.create_compressor(plan.compression)
        base = self._surroundings.registry(plan.base).pull(plan.base, plan.platform)
        configuration.check_base(base, plan)
        python = configuration.read_python(base)
        exact = str(python.get("version") or "")
        with (
            EarlyUploads(plan, to, self._surroundings, on) as ahead,
            find_compiler(plan, exact, self._surroundings.environment, on) as compiled,
        ):
            making = Layers(
                plan,
                self._surroundings,
                LayerCache(self._surroundings.cache / "layers", compressor),
                Earlier(plan, self._surroundings, compressor, on),
                compiled,
                str(python.get("executable") or "/usr/bin/env python3"),
                on,
            )
            image = base.with_layers(making.make_layers(ahead.start_upload))
            sent = ahead.wait_for_uploads()
        labels = {"dynamo.bytecode": compiled.version, LABEL: codec.encode_canonical(making.keys).decode()}
        image = image.with_config(
            configuration.image_settings(base, plan, labels), configuration.image_annotations(plan, compressor)
        )
        if plan.budget and (
            said := explain_excess(plan.budget, image.size, [(item.name, item.size) for item in image.layers])
        ):
            raise ImageBuildError(*said)
        if image.labels.get("dynamo.production") == "false":
            on(Noted(text="the base is marked as not for production"))
        return deliver_image(image, plan, to, self._surroundings, on, builder=NAME, kept_as=plan.kept_as, ahead=sent)
