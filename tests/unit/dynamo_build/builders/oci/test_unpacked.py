"""Packages of several layers out of one installation."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dynamo_build.builders.oci import packages
from dynamo_build.builders.oci.groups import Group
from dynamo_build.builders.oci.unpacked import Unpacked
from dynamo_build.errors import ImageBuildError
from dynamo_build.model.image import PackagesLayer
from dynamo_build.model.plan import LockedPackage

CONTENT = {"alpha": {"alpha.py": "A"}, "beta-two": {"beta.py": "B", "bin/beta": "#!"}, "gamma": {"space/g.py": "G"}}


def group(*names: str) -> Group:
    locked = tuple(LockedPackage(name=name, version="1", hashes=("sha256:0",)) for name in names)
    lines = "".join(f"{name}==1\n" for name in names)
    return Group(
        name=" ".join(names), layer=PackagesLayer(packages=locked, requirements=lines, python="3.11", platform="")
    )


class Installer:
    """Writes the files of the packages that the requirements name, and notes which those were."""

    def __init__(self, content: dict[str, dict[str, str]], unrecorded: str = "") -> None:
        self.runs: list[list[str]] = []
        self._content = content
        self._unrecorded = unrecorded

    def __call__(self, wanted: PackagesLayer, folder: Path) -> None:
        names = [line.split("==")[0] for line in wanted.requirements.splitlines() if "==" in line]
        self.runs.append(names)
        for name in names:
            if name not in self._content:
                raise ImageBuildError(f"there is no {name}")
            record = f"{name.replace('-', '_')}-1.dist-info/RECORD"
            for path, text in {
                **self._content[name],
                record: "",
                **dict.fromkeys(self._unrecorded.split(), ""),
            }.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            with (folder / record).open("w") as out:
                csv.writer(out).writerows((path, "", "") for path in [*self._content[name], record])


def test_one_run_serves_all_layers(tmp_path: Path) -> None:
    """Each layer has the files of its own packages, by their records."""
    install, groups = Installer(CONTENT), [group("alpha", "gamma"), group("beta-two")]
    unpacked = Unpacked(groups, tmp_path, install)
    assert install.runs == []
    found = [set(unpacked.group_files(each)) for each in groups]
    assert found == [
        {"alpha.py", "space/g.py", "alpha-1.dist-info/RECORD", "gamma-1.dist-info/RECORD"},
        {"beta.py", "bin/beta", "beta_two-1.dist-info/RECORD"},
    ]
    assert install.runs == [["alpha", "gamma", "beta-two"]]


@pytest.mark.parametrize(
    ("content", "unrecorded"),
    [
        ({"alpha": {"same.py": "A"}, "beta-two": {"same.py": "B"}}, ""),
        ({"alpha": {"a.py": ""}, "beta-two": {"b.py": ""}}, "left.txt"),
    ],
    ids=["of two", "of nobody"],
)
def test_what_cannot_be_told_apart_is_installed_apart(
    content: dict[str, dict[str, str]], unrecorded: str, tmp_path: Path
) -> None:
    """A layer must not depend on what other layers hold."""
    install, groups = Installer(content, unrecorded), [group("alpha"), group("beta-two")]
    unpacked = Unpacked(groups, tmp_path, install)
    for each, name in zip(groups, ("alpha", "beta-two"), strict=True):
        files = unpacked.group_files(each)
        assert {*content[name], *unrecorded.split()} <= set(files)
        for path, text in content[name].items():
            assert files[path].read().decode() == text
    assert install.runs[0] == ["alpha", "beta-two"] and {*map(tuple, install.runs[1:])} == {("alpha",), ("beta-two",)}


def test_of_packages_that_clash_the_last_name_wins(tmp_path: Path) -> None:
    """Whatever order they were unpacked in."""
    content = {"zeta": {"same.py": "Z", "z.py": ""}, "alpha": {"same.py": "A", "a.py": ""}}
    install, both = Installer(content), group("zeta", "alpha")
    files = Unpacked([both], tmp_path, install).group_files(both)
    assert files["same.py"].read() == b"Z" and {"a.py", "z.py"} <= set(files)
    assert install.runs == [["zeta", "alpha"], ["alpha"], ["zeta"]]


def test_a_failure_is_the_failure_of_all(tmp_path: Path) -> None:
    """The installation is not tried again by every layer."""
    install, groups = Installer({}), [group("alpha"), group("beta-two")]
    unpacked = Unpacked(groups, tmp_path, install)
    for each in groups:
        with pytest.raises(ImageBuildError, match="no alpha"):
            unpacked.group_files(each)
    assert len(install.runs) == 1


def test_walk_leaves_out_what_is_not_of_packages(tmp_path: Path) -> None:
    """Neither uv's lock nor modules compiled on this machine."""
    for name in (".lock", "a.py", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert set(packages.walk_files(tmp_path)) == {"a.py"}
