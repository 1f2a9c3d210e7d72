"""An image as a value: the exact bytes of manifest and config, and layers that are opened only when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.sdk import codec
from dynamo_build.errors import RegistryError
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.layer import Layer, Readable

_CREATED = "1980-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class OciImage:
    """`manifest` and `config` are kept as bytes, so that a pulled image keeps its digest."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @classmethod
    def from_documents(
        cls,
        manifest: bytes,
        config: bytes,
        source: Callable[[str, int], Readable],
        origin: ImageReference | None = None,
    ) -> OciImage:
        """An image from its documents; `source` opens a blob by digest and size. Raises RegistryError."""
        parsed = documents.parse_document(manifest, "the manifest")
        found = documents.list_layers(parsed, "the manifest")
        ids = documents.list_diff_ids(documents.parse_document(config, "the image's config"), "the image's config")
        if len(found) != len(ids):
            raise RegistryError(f"the manifest has {len(found)} layers, but its config lists {len(ids)}")
        layers = tuple(
            Layer(
                digest=digest,
                diff_id=diff_id,
                size=size,
                media_type=kind,
                origin=origin,
                source=_create_opener(source, digest, size),
            )
            for (digest, size, kind), diff_id in zip(found, ids, strict=True)
        )
        return cls(manifest=manifest, config=config, layers=layers)

    @classmethod
    def compose(
        cls, config: Mapping[str, Any], layers: Sequence[Layer], annotations: Mapping[str, str] | None = None
    ) -> OciImage:
        """An image of these layers; the manifest and the config's rootfs are written from them, canonically."""
        ids = [layer.diff_id for layer in layers]
        written = codec.encode_canonical({**config, "rootfs": {"type": "layers", "diff_ids": ids}})
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": documents.MANIFEST,
            "config": {"mediaType": documents.CONFIG, "digest": documents.digest_of(written), "size": len(written)},
            "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size} for layer in layers],
        }
        if annotations:
            manifest["annotations"] = dict(annotations)
        return cls(manifest=codec.encode_canonical(manifest), config=written, layers=tuple(layers))

    @property
    def digest(self) -> str:
        """The image's digest: that of its manifest."""
        return documents.digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        """The digest of the config; Docker's image id."""
        return documents.digest_of(self.config)

    @property
    def media_type(self) -> str:
        """The manifest's media type."""
        return str(documents.parse_document(self.manifest, "the manifest").get("mediaType") or documents.MANIFEST)

    @property
    def size(self) -> int:
        """Bytes of all layers as shipped."""
        return sum(layer.size for layer in self.layers)

    @property
    def document(self) -> Mapping[str, Any]:
        """The parsed config."""
        return documents.parse_document(self.config, "the image's config")

    @property
    def settings(self) -> Mapping[str, Any]:
        """How a container of it runs: Env, Entrypoint, Labels and so on."""
        settings = self.document.get("config")
        return settings if isinstance(settings, dict) else {}

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its config."""
        labels = self.settings.get("Labels")
        return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}

    @property
    def platform(self) -> str:
        """`os/architecture` as its config says."""
        return f"{self.document.get('os', '')}/{self.document.get('architecture', '')}"

    def with_layers(self, added: Sequence[Layer]) -> OciImage:
        """The image with more layers on top, one history entry for each (some tools count them)."""
        history = _read_history(self.document, len(self.layers))
        history += [{"created": _CREATED, "created_by": f"dynamo: {layer.name or 'layer'}"} for layer in added]
        config = {**self.document, "created": _CREATED, "history": history}
        return OciImage.compose(config, (*self.layers, *added), self._read_annotations())

    def with_config(self, settings: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> OciImage:
        """The image with other settings, and the manifest with more annotations."""
        merged = {**self._read_annotations(), **(annotations or {})}
        return OciImage.compose({**self.document, "config": dict(settings)}, self.layers, merged)

    def _read_annotations(self) -> dict[str, str]:
        found = documents.parse_document(self.manifest, "the manifest").get("annotations")
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _create_opener(source: Callable[[str, int], Readable], digest: str, size: int) -> Callable[[], Readable]:
    return lambda: source(digest, size)


def _read_history(config: Mapping[str, Any], layers: int) -> list[Any]:
    history = config.get("history")
    kept = list(history) if isinstance(history, list) else []
    counted = sum(1 for entry in kept if not (isinstance(entry, dict) and entry.get("empty_layer")))
    if counted != layers:
        return [{"created": _CREATED, "created_by": "base"} for _ in range(layers)]
    return kept
