"""Image reports: layers, and the packages and files in each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something in a layer: a package with its version, or a folder. `size` are bytes as unpacked."""

    name: str
    version: str = ""
    size: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """A layer. `size` are bytes as shipped, `unpacked` as they lie in a container; 0 where the layer was not read."""

    digest: str
    diff_id: str
    size: int
    name: str
    unpacked: int = 0
    files: int = 0
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document beside an image, such as its bill of materials: its media type, and the digest of its manifest."""

    kind: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """An image. `compressor` is what made the bytes of its own layers, `base` the digest of what they lie over.

    `documents` are those beside it in its repository, as far as they were looked for.
    """

    reference: str
    digest: str
    config_digest: str
    platform: str
    size: int
    own: int
    bento: str = ""
    base: str = ""
    python: str = ""
    compressor: str = ""
    bytecode: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    layers: tuple[LayerReport, ...] = ()
    documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that two images have in different forms; "" where one lacks it."""

    kind: str
    what: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDiff:
    """Two images: what has to be moved from one to the other, and every difference."""

    before: str
    after: str
    moved: int
    shared: int
    changes: tuple[Change, ...] = ()
