"""A registry from outside, completed: a method that it does not implement is refused by name."""

from __future__ import annotations

from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener
from dynamo_build.model.reference import Digest, ImageReference
from dynamo_build.oci.layer import Layer, Readable
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import ImageRegistry


class PartialRegistry:
    """Passes calls on to `registry`; methods of `RegistryContents` that it lacks raise RegistryError.

    `name` is the entry point's, for messages.
    """

    def __init__(self, name: str, registry: ImageRegistry) -> None:
        self._name = name
        self._registry = registry

    def resolve(self, reference: ImageReference) -> Digest:
        """The digest behind a reference. Raises RegistryError."""
        return self._registry.resolve(reference)

    def pull(self, reference: ImageReference, platform: str) -> OciImage:
        """The image of one platform. Raises RegistryError."""
        return self._registry.pull(reference, platform)

    def push(self, image: OciImage, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Send what is missing, tags last. Raises RegistryError."""
        return self._registry.push(image, to, on)

    def document(self, reference: ImageReference) -> bytes:
        """The manifest or index behind a reference, byte for byte. Raises RegistryError."""
        if method := getattr(self._registry, "document", None):
            return bytes(method(reference))
        raise self._refuse("document")

    def blob(self, reference: ImageReference, digest: str, size: int) -> Readable:
        """A blob of the reference's repository. Raises RegistryError."""
        if method := getattr(self._registry, "blob", None):
            blob: Readable = method(reference, digest, size)
            return blob
        raise self._refuse("blob")

    def push_index(self, index: bytes, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Name an index of images that are there already. Raises RegistryError."""
        if method := getattr(self._registry, "push_index", None):
            digest: Digest = method(index, to, on)
            return digest
        raise self._refuse("push_index")

    def prepare(self, layer: Layer, to: ImageReference, on: Listener) -> None:
        """Take a layer early. Nothing where the registry cannot: the layer is sent with its image."""
        if method := getattr(self._registry, "prepare", None):
            method(layer, to, on)

    def require(self, *methods: str) -> None:
        """Refuse before any work is done that ends with one of these methods. Raises RegistryError."""
        for method in methods:
            if not hasattr(self._registry, method):
                raise self._refuse(method)

    def _refuse(self, method: str) -> RegistryError:
        return RegistryError(
            f"the registry `{self._name}` has no `{method}`, which this command needs",
            ["Use another registry, or add the method to the distribution that provides this one."],
        )
