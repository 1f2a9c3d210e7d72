"""A folder as a registry: an OCI image layout, named `oci:FOLDER:TAG`."""

from __future__ import annotations

from pathlib import Path

from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, Progress
from dynamo_build.model.reference import Digest, ImageReference
from dynamo_build.oci import layout
from dynamo_build.oci.layer import Layer, Readable
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings


class FolderRegistry:
    """Images in OCI image layouts on this machine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def resolve(self, reference: ImageReference) -> Digest:
        """The digest behind a reference. Raises RegistryError."""
        return Digest.parse(layout.resolve_digest(_find_folder(reference), reference.tag, reference.digest))

    def pull(self, reference: ImageReference, platform: str) -> OciImage:
        """The image of one platform; layers are opened when they are read. Raises RegistryError."""
        return layout.read_image(_find_folder(reference), platform, reference.tag, reference.digest)

    def push(self, image: OciImage, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Write what is missing, the index last. Raises RegistryError."""
        if not to or len({reference.repository for reference in to}) != 1:
            raise RegistryError("an image is pushed to one repository at a time")
        written, total = 0, image.size

        def report_progress(size: int) -> None:
            nonlocal written
            written += size
            on(Progress(what="write", done=written, total=total))

        return Digest.parse(
            layout.write_image(_find_folder(to[0]), image, tuple(item.tag or "latest" for item in to), report_progress)
        )

    def prepare(self, layer: Layer, to: ImageReference, on: Listener) -> None:
        """Nothing: a copy from folder to folder is not worth a start of its own."""

    def push_index(self, index: bytes, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Name an index of images that are there already. Raises RegistryError."""
        return Digest.parse(layout.write_index(_find_folder(to[0]), index, tuple(item.tag or "latest" for item in to)))

    def document(self, reference: ImageReference) -> bytes:
        """The manifest or index behind a reference, byte for byte. Raises RegistryError."""
        return layout.read_document(
            _find_folder(reference), layout.resolve_digest(_find_folder(reference), reference.tag, reference.digest)
        )

    def blob(self, reference: ImageReference, digest: str, size: int) -> Readable:
        """A blob of the reference's repository; who reads it checks it. Raises RegistryError."""
        del size
        return layout.open_blob(_find_folder(reference), digest)


def _find_folder(reference: ImageReference) -> Path:
    if not reference.folder:
        raise RegistryError(f"`{reference}` is not an image in a folder", ["Write it as `oci:FOLDER:TAG`."])
    return Path(reference.folder)
