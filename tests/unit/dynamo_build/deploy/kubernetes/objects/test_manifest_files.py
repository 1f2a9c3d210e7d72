"""Manifests as text and as files."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml

from dynamo_build.deploy.kubernetes.objects import manifest_files
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import Deployment, Manifests
from support.deployments import deployment, hello_graph


def manifests(made: Deployment | None = None) -> Manifests:
    made = made or deployment(hello_graph())
    return Manifests(deployment=made.name, namespace=made.namespace, target="k8s", items=build_objects(made))


def test_the_heading_tells_how_to_make_the_token() -> None:
    """The YAML refers to a Secret that it does not hold."""
    text = manifest_files.render_manifests(manifests(), "yaml")
    assert "kubectl -n demo create secret generic hello-world-transport --from-literal=token=" in text
    assert len(list(yaml.safe_load_all(text))) == len(manifests().items)


def test_json_is_one_list() -> None:
    """For machines."""
    assert json.loads(manifest_files.render_manifests(manifests(), "json"))["kind"] == "List"


def test_files_follow_the_graph(tmp_path: Path) -> None:
    """A second run removes what the graph no longer has, and no more."""
    folder = tmp_path / "out"
    first = manifest_files.write_files(manifest_files.render_per_object(manifests(), "yaml"), folder)
    assert all(yaml.safe_load(path.read_text()) for path in first)
    second = manifest_files.write_files(
        manifest_files.render_per_object(manifests(deployment(hello_graph(), nats="nats://a:1")), "yaml"), folder
    )
    assert {path.name for path in folder.glob("*.yaml")} == {path.name for path in second}
    assert len(second) < len(first)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Foreign files are named, and nothing is written."""
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"holds `mine\.txt`"):
        manifest_files.write_files(manifest_files.render_per_object(manifests(), "yaml"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def _tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


class Told(BaseException):
    """What a signal's handler raises."""


def _tell(number: int, frame: object) -> None:
    raise Told


def _stopped(number: int, texts: Mapping[str, str], folder: Path, how: Callable[[], None]) -> bool:
    """Write, and do something when the disk is asked for the n-th time; whether it came so far."""
    asked = 0

    def audit(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal asked
        if event == "c_call" and argument.__module__ in ("posix", "io"):
            asked += 1
            if asked == number:
                sys.setprofile(None)
                how()

    sys.setprofile(audit)
    try:
        manifest_files.write_files(texts, folder)
    finally:
        sys.setprofile(None)
    return asked >= number


@pytest.mark.parametrize("there", [True, False])
def test_an_interrupt_at_any_moment(tmp_path: Path, there: bool) -> None:
    """All files are those of the run before, or all are those of this one; nothing else is left."""
    old = {"gone.yaml": "old", "kept.yaml": "old", "templates/a.yaml": "old"} if there else {}
    new = {"kept.yaml": "new", "templates/a.yaml": "new", "templates/deep/b.yaml": "new"}
    manifest_files.write_files(new, tmp_path / "whole")
    seen, before = set(), signal.signal(signal.SIGINT, _tell)
    try:
        for number in range(1, 1000):
            folder = tmp_path / str(number)
            if old:
                manifest_files.write_files(old, folder)
            begun = _tree(folder)
            try:
                if not _stopped(number, new, folder, lambda: signal.raise_signal(signal.SIGINT)):
                    break
            except Told:
                assert _tree(folder) in (begun, _tree(tmp_path / "whole")), number
                assert not any(path.is_dir() for path in folder.glob(".*")), number
                assert there or folder.exists() == bool(_tree(folder)), number
                seen.add(_tree(folder) == begun)
    finally:
        signal.signal(signal.SIGINT, before)
    assert number > 20
    assert seen == {True, False}


def test_a_kill_at_any_moment(tmp_path: Path) -> None:
    """No file is half written, and the next run takes nothing of it as foreign."""
    old, new = {"gone.yaml": "old", "kept.yaml": "old"}, {"kept.yaml": "new", "templates/a.yaml": "new"}
    for number in range(1, 1000):
        folder = tmp_path / str(number)
        manifest_files.write_files(old, folder)
        child = os.fork()
        if not child:
            _stopped(number, new, folder, lambda: os.kill(os.getpid(), signal.SIGKILL))
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert {text for name, text in _tree(folder).items() if not name.startswith(".")} <= {"old", "new"}, number
        manifest_files.write_files(new, folder)
        assert {name for name in _tree(folder) if not name.startswith(".dynamo-staged-")} == {".dynamo-manifests", *new}
        if not ended:
            break
    assert number > 20


def test_an_unknown_form() -> None:
    """With the known ones."""
    with pytest.raises(UsageError, match="`toml` is not a form"):
        manifest_files.render_manifests(manifests(), "toml")
