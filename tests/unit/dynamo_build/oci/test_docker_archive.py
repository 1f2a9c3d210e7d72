"""Images as one tar for engines."""

from __future__ import annotations

import io
import json
import tarfile

from dynamo_build.oci import docker_archive
from support import handmade


def read(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}


def written(**options: object) -> bytes:
    out = io.BytesIO()
    docker_archive.write_image_archive(handmade.image(), ("hello:v1",), out, **options)
    return out.getvalue()


def test_it_is_a_layout_and_a_docker_archive() -> None:
    """Both forms name the same blobs, and the blobs are all there."""
    made, files = handmade.image(), read(written())
    (named,) = json.loads(files["manifest.json"])
    assert named["RepoTags"] == ["hello:v1"]
    assert files[named["Config"]] == made.config
    assert [files[name] for name in named["Layers"]] == [layer.open().read() for layer in made.layers]
    entry = json.loads(files["index.json"])["manifests"][0]
    assert files["blobs/" + entry["digest"].replace(":", "/")] == made.manifest


def test_layers_can_be_left_out() -> None:
    """What the engine has is named but not sent."""
    digest = handmade.image().layers[0].digest
    files = read(written(leave_out={digest}))
    assert f"blobs/{digest.replace(':', '/')}" not in files
    assert json.loads(files["manifest.json"])[0]["Layers"] == [f"blobs/{digest.replace(':', '/')}"]


def test_it_is_the_same_bytes_twice() -> None:
    """Two archives of one image are equal."""
    assert written() == written()
