"""Registries that speak the OCI distribution protocol: pull verified content, push what is missing, tags last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dynamo_build.errors import RegistryError
from dynamo_build.events import LayerPushed, Listener, Progress
from dynamo_build.model.reference import Digest, ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.layer import Layer, Readable
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries.http.client import Client
from dynamo_build.registries.http.connection import Answer
from dynamo_build.registries.http.download import Download
from dynamo_build.registries.http.upload import PIECE, Blob, Unfinished, Upload
from dynamo_build.seams import Surroundings

_AT_ONCE = 4
_ACCEPT = {"Accept": ", ".join(documents.ACCEPTED)}


class HttpRegistry:
    """Any registry, by the host of the reference. Keeps its connections and tokens for as long as it lives."""

    def __init__(
        self, surroundings: Surroundings, *, piece: int = PIECE, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._surroundings = surroundings
        self._piece = piece
        self._wait = wait
        self._clients: dict[str, Client] = {}
        self._documents: dict[str, bytes] = {}

    def resolve(self, reference: ImageReference) -> Digest:
        """The digest behind a reference, of the content and not of what a header claims. Raises RegistryError."""
        return Digest.parse(documents.digest_of(self.document(reference)))

    def pull(self, reference: ImageReference, platform: str) -> OciImage:
        """The image of one platform; layers are fetched when they are opened. Raises RegistryError."""
        content = self.document(reference)
        parsed = documents.parse_document(content, f"the manifest of {reference}")
        if documents.is_index(parsed):
            chosen = documents.choose_manifest(parsed, platform, f"`{reference}`")
            content = self.document(reference.with_digest(chosen))
            parsed = documents.parse_document(content, f"the manifest of {reference}")
        digest, _, _ = documents.parse_descriptor(parsed.get("config"), f"the manifest of {reference}")
        config = self._documents.get(digest)
        if config is None:
            config = self._request_content(reference, f"blobs/{digest}", {}, f"config of {reference}").body
        if documents.digest_of(config) != digest:
            raise RegistryError(f"the registry of {reference} sent a config with another digest than {digest}")
        self._documents |= {digest: config, documents.digest_of(content): content}
        origin = ImageReference(reference.host, reference.path)
        return OciImage.from_documents(content, config, partial(self.blob, reference), origin)

    def push(self, image: OciImage, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Send what is missing, tags last. All references name one repository. Raises RegistryError."""
        if not to or len({reference.repository for reference in to}) != 1:
            raise RegistryError("an image is pushed to one repository at a time")
        first = to[0]
        upload = self._open_upload(first)
        blobs = {layer.digest: _describe_blob(layer, first) for layer in image.layers}
        _send_blobs(upload, list(blobs.values()), on)
        config = Blob(digest=image.config_digest, size=len(image.config), open=partial(_Bytes, image.config))
        upload.send_blob(config)
        self._put_tags(upload, to, image.manifest, image.media_type)
        return Digest.parse(image.digest)

    def prepare(self, layer: Layer, to: ImageReference, on: Listener) -> None:
        """Send one layer of an image that is still being made. Raises RegistryError."""
        how = self._open_upload(to).send_blob(_describe_blob(layer, to))
        on(LayerPushed(digest=layer.digest, how=how))

    def push_index(self, index: bytes, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Name an index of images that are there already. Raises RegistryError."""
        self._put_tags(self._open_upload(to[0]), to, index, documents.INDEX)
        return Digest.parse(documents.digest_of(index))

    def _put_tags(self, upload: Upload, to: tuple[ImageReference, ...], manifest: bytes, kind: str) -> None:
        for tag in [reference.tag for reference in to if reference.tag] or [documents.digest_of(manifest)]:
            self._put_manifest(upload, tag, manifest, kind)

    def _put_manifest(self, upload: Upload, tag: str, manifest: bytes, kind: str) -> None:
        digest = documents.digest_of(manifest)
        answer = upload.client.request(
            "PUT",
            f"/v2/{upload.repository}/manifests/{tag}",
            scopes=upload.scopes,
            headers={"Content-Type": kind},
            body=manifest,
            expected=(201, 200),
            what=f"manifest {upload.repository}:{tag}",
        )
        stored = answer.headers.get("docker-content-digest", digest)
        if stored != digest:
            raise RegistryError(f"`{upload.client.address}` stored {upload.repository}:{tag} as {stored}, not {digest}")

    def document(self, reference: ImageReference) -> bytes:
        """The manifest or index behind a reference, byte for byte. Raises RegistryError."""
        name = reference.digest or reference.tag or "latest"
        if name in self._documents:
            return self._documents[name]
        content = self._request_content(reference, f"manifests/{name}", _ACCEPT, f"image {reference}").body
        if reference.digest and documents.digest_of(content) != reference.digest:
            raise RegistryError(f"the registry sent another manifest for {reference}")
        return content

    def _request_content(
        self, reference: ImageReference, path: str, headers: dict[str, str], what: str, *, stream: bool = False
    ) -> Answer:
        return self._find_client(reference).request(
            "GET",
            f"/v2/{_repository_name(reference)}/{path}",
            scopes=(f"repository:{_repository_name(reference)}:pull",),
            headers=headers,
            expected=(200, 206) if stream else (200,),
            stream=stream,
            what=what,
        )

    def blob(self, reference: ImageReference, digest: str, size: int) -> Readable:
        """A blob of the reference's repository; who reads it checks it. Raises RegistryError."""

        def ask(start: int) -> Answer:
            headers = {"Range": f"bytes={start}-"} if start else {}
            return self._request_content(reference, f"blobs/{digest}", headers, f"blob {digest}", stream=True)

        return Download(ask, digest, size, self._wait)

    def _open_upload(self, to: ImageReference) -> Upload:
        return Upload(
            client=self._find_client(to),
            repository=_repository_name(to),
            unfinished=Unfinished(self._surroundings.cache / "uploads"),
            piece=self._piece,
            wait=self._wait,
        )

    def _find_client(self, reference: ImageReference) -> Client:
        if reference.host not in self._clients:
            around = self._surroundings
            self._clients[reference.host] = Client(reference.host, around.environment, around.insecure, self._wait)
        return self._clients[reference.host]


def _send_blobs(upload: Upload, blobs: list[Blob], on: Listener) -> None:
    """Send the blobs, a few at a time; the first failure ends it."""
    total, lock, done = sum(blob.size for blob in blobs), threading.Lock(), [0]

    def report_moved(amount: int) -> None:
        with lock:
            done[0] += amount
            on(Progress(what="push", done=done[0], total=total))

    def send_blob(blob: Blob) -> None:
        seen = [0]

        def report_sent(amount: int) -> None:
            seen[0] += amount
            report_moved(amount)

        how = upload.send_blob(blob, report_sent)
        report_moved(blob.size - min(seen[0], blob.size))
        with lock:
            on(LayerPushed(digest=blob.digest, how=how))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push") as pool:
        futures = [pool.submit(send_blob, blob) for blob in blobs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _describe_blob(layer: Layer, to: ImageReference) -> Blob:
    origin = layer.origin
    near = origin is not None and origin.host == to.host
    return Blob(
        digest=layer.digest,
        size=layer.size,
        open=layer.open,
        mountable=_repository_name(origin) if near and origin else "",
    )


def _repository_name(reference: ImageReference) -> str:
    official = reference.host in ("", "docker.io", "index.docker.io") and "/" not in reference.path
    return f"library/{reference.path}" if official else reference.path


class _Bytes:
    """A blob that is in memory."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def read(self, amount: int = -1, /) -> bytes:
        taken = self._rest if amount < 0 else self._rest[:amount]
        self._rest = self._rest[len(taken) :]
        return taken

    def close(self) -> None:
        self._rest = b""
