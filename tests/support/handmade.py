"""Bentos and images made by hand, so that tests of later stages need no earlier one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo_build.bento import bento_yaml as document_of
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.plan import Lock
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layer, layout
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.packages import lockfile
from dynamo_build.system.digest import digest_bytes

WHEEL = "dynamo_runtime-0.1.0-py3-none-any.whl"

#: Layers of packages are made by the Python that runs here.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def wheel(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, always the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def distribution(name: str, version: str, files: Mapping[str, bytes], scripts: str = "") -> tuple[str, bytes]:
    """A wheel's file name and content."""
    info = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        members[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}\n".encode()
    rows = ""
    for path, content in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        rows += f"{path},sha256={digest},{len(content)}\n"
    members[f"{info}/RECORD"] = (rows + f"{info}/RECORD,,\n").encode()
    return f"{name}-{version}-py3-none-any.whl", wheel(members)


def bento(
    folder: Path,
    sources: Mapping[str, str] | None = None,
    requirements: str = "",
    images: Mapping[str, str] | None = None,
    runtime: Mapping[str, bytes] | None = None,
    platforms: tuple[str, ...] = ("linux/amd64",),
    setup_commands: tuple[str, ...] = (),
    names: tuple[str, ...] = ("Backend", "Frontend"),
) -> Bento:
    """A bento of these services; `Frontend` is the entry."""
    sources = sources or {"graph.py": "print('hello')\n", "data/words.txt": "one two\n"}
    images = images or {}
    services = tuple(
        ServiceSpec(name=name, module="graph", qualname=name, image=images.get(name, "")) for name in names
    )
    graph = ServiceGraph(target="graph:Frontend", entry="Frontend", services=services)
    lines = []
    for name, text in sorted(sources.items()):
        path = folder / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        lines.append(f"{hashlib.sha256(text.encode()).hexdigest()}  src/{name}\n")
    for part in ("config", "runtime", "env/python"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "files.sha256").write_text("".join(lines))
    (folder / "config/graph.json").write_bytes(codec.encode_canonical(graph))
    (folder / "config/config.json").write_bytes(b"{}")
    content = wheel(runtime or {"dynamo/__init__.py": b"", "dynamo/worker.py": b"print('worker')\n"})
    (folder / "runtime" / WHEEL).write_bytes(content)
    packages = lockfile.parse_requirements(requirements, "the requirements")
    if packages:
        written = lockfile.format_requirements(packages)
        (folder / "env/python/requirements-linux-amd64.txt").write_text(written)
    manifest = BentoManifest(
        name="hello",
        version="abc",
        graph=graph,
        python=PYTHON,
        platforms=platforms,
        files_digest=digest_bytes("".join(lines).encode()),
        files_count=len(sources),
        files_size=sum(map(len, sources.values())),
        lock=Lock(python=PYTHON, packages={"linux/amd64": packages} if packages else {}),
        runtime=WHEEL,
        setup_commands=setup_commands,
        runtime_digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
    )
    (folder / document_of.NAME).write_bytes(document_of.format_manifest(manifest))
    return Bento(manifest=manifest, folder=str(folder))


def packed(entries: list[Entry], name: str = "layer") -> Layer:
    """A layer in memory."""
    buffer = io.BytesIO()
    digest, diff_id, size = layer.write_layer(entries, buffer)
    return Layer(digest=digest, diff_id=diff_id, size=size, name=name, source=lambda: io.BytesIO(buffer.getvalue()))


def image(content: bytes = b"base", labels: Mapping[str, str] | None = None, platform: str = "linux/amd64") -> OciImage:
    """An image of one small layer."""
    system, _, architecture = platform.partition("/")
    settings = {"Env": ["PATH=/usr/local/bin:/bin", "LANG=C"], "Cmd": ["python3"], "Labels": dict(labels or {})}
    config = {"os": system, "architecture": architecture, "config": settings, "history": [{"created_by": "test"}]}
    return OciImage.compose(config, [packed([Entry(path="etc/base", content=content)])])


def base_folder(folder: Path, made: OciImage | None = None, tag: str = "base") -> ImageReference:
    """A base in an OCI image layout."""
    layout.write_image(folder, made or image(), (tag,))
    return ImageReference.parse(f"oci:{folder}:{tag}")


def document(content: bytes) -> dict[str, object]:
    """Parsed JSON."""
    parsed = json.loads(content)
    assert isinstance(parsed, dict)
    return parsed
