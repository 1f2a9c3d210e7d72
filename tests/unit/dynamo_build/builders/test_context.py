"""The context: the plan's files and no others, the same bytes from any folder."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from dynamo_build.builders.context import write_context
from dynamo_build.builders.dockerfile import render_dockerfile
from dynamo_build.errors import ImageBuildError
from dynamo_build.model.image import CONFIGURATION, SOURCE, FilesLayer, ImagePlan, PackagesLayer, WheelLayer
from dynamo_build.model.reference import ImageReference


@pytest.fixture
def bento(tmp_path: Path) -> Path:
    folder = tmp_path / "bento"
    for name, content in {
        "bento.yaml": "secret: of the bento",
        "config/graph.json": "{}",
        "runtime/dynamo_runtime-1-py3-none-any.whl": "wheel",
        "src/hello.py": "print(1)",
        "src/deep/run.sh": "#!/bin/sh",
        "src/not-planned": "x",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "src/deep/run.sh").chmod(0o700)
    return folder


def plan(bento: Path, requirements: str = "a==1\n") -> ImagePlan:
    return ImagePlan(
        name="hello",
        version="1",
        bento=str(bento),
        services=("A",),
        base=ImageReference.parse("base:1"),
        layers=(
            PackagesLayer(packages=(), requirements=requirements, python="3.11", platform="linux/amd64"),
            WheelLayer(wheel="runtime/dynamo_runtime-1-py3-none-any.whl"),
            FilesLayer(name="config", folder="config", paths=("graph.json",), target=CONFIGURATION),
            FilesLayer(name="code", folder="src", paths=("hello.py", "deep/run.sh"), target=SOURCE),
        ),
    )


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


def test_what_is_sent(bento: Path) -> None:
    """The Dockerfile, the locked requirements, the wheel and the planned files; nothing else of the bento."""
    content = b"".join(write_context(plan(bento), buildkit=False))
    assert sorted(name for name, member in members(content).items() if member.isfile()) == [
        "config/graph.json",
        "env/docker/Dockerfile",
        "env/python/requirements-linux-amd64.txt",
        "runtime/dynamo_runtime-1-py3-none-any.whl",
        "src/deep/run.sh",
        "src/hello.py",
    ]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        sent = archive.extractfile("env/docker/Dockerfile")
        assert sent is not None and sent.read().decode() == render_dockerfile(plan(bento), buildkit=False)


def test_it_never_varies(bento: Path, tmp_path: Path) -> None:
    """Other times, another folder and another umask give the same bytes."""
    first = b"".join(write_context(plan(bento), buildkit=True))
    other = tmp_path / "other"
    shutil.copytree(bento, other, copy_function=shutil.copyfile)
    (other / "src/deep/run.sh").chmod(0o755)
    (other / "src/hello.py").chmod(0o600)
    assert b"".join(write_context(plan(other), buildkit=True)) == first


def test_modes_and_owners(bento: Path) -> None:
    """Readable by any user in the image, owned by root, without fractions of a second."""
    found = members(b"".join(write_context(plan(bento), buildkit=False)))
    assert found["src/deep/run.sh"].mode == 0o755
    assert found["src/hello.py"].mode == 0o644
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 315532800)}
    assert not any(member.pax_headers for member in found.values())


def test_a_missing_file_is_one_line(bento: Path) -> None:
    """A damaged bento is told before the engine is asked for anything."""
    (bento / "src/hello.py").unlink()
    with pytest.raises(ImageBuildError, match=r"the bento lacks the file `src/hello.py`"):
        list(write_context(plan(bento), buildkit=False))


def test_links_are_not_followed(bento: Path) -> None:
    """A link in a bento could name any file of this machine."""
    (bento / "src/hello.py").unlink()
    (bento / "src/hello.py").symlink_to("/etc/passwd")
    with pytest.raises(ImageBuildError, match="lacks the file"):
        list(write_context(plan(bento), buildkit=False))


def test_an_empty_source_folder_is_still_there(bento: Path) -> None:
    """COPY needs its folder even when the plan has no files in it."""
    made = plan(bento)
    without = ImagePlan(
        name="a",
        version="1",
        bento=str(bento),
        services=(),
        base=made.base,
        layers=(FilesLayer(name="code", folder="src", paths=(), target=SOURCE),),
    )
    assert "src" in members(b"".join(write_context(without, buildkit=False)))
