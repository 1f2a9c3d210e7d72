"""Installation of the packages of several layers by one run of uv, whose start costs more than most packages.

Each layer rests on its own packages alone, so they go together only where the RECORD files say whose every file is.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dynamo_build.builders.oci import packages
from dynamo_build.builders.oci.groups import Group
from dynamo_build.builders.oci.packages import File
from dynamo_build.model.image import PackagesLayer
from dynamo_build.packages import lockfile

Install = Callable[[PackagesLayer, Path], None]


class Unpacked:
    """Gives the files of one group after the other; nothing is installed before the first is asked for."""

    def __init__(self, groups: Sequence[Group], folder: Path, install: Install) -> None:
        self._groups = groups
        self._folder = folder
        self._install = install
        self._lock = threading.Lock()
        self._together: Mapping[str, Mapping[str, File]] | None = None
        self._failure: BaseException | None = None

    def files(self, group: Group) -> Mapping[str, File]:
        """The group's files by their names below the folder of packages. Raises ImageBuildError."""
        with self._lock:
            if self._failure:
                raise self._failure
            if self._together is None:
                try:
                    self._together = self._all()
                except BaseException as error:
                    self._failure = error
                    raise
        if group.name in self._together:
            return self._together[group.name]
        return self._alone(group, f"group-{self._groups.index(group)}")

    def _alone(self, group: Group, name: str) -> Mapping[str, File]:
        """The group by itself; packages that clash one by one, since uv unpacks several at once, in any order."""
        found = packages.walk(self._installed(group.layer, name))
        if split(found, {package.name: group.name for package in group.layer.packages}):
            return found
        merged: dict[str, File] = {}
        for number, package in enumerate(sorted(group.layer.packages, key=lambda package: package.name)):
            one = replace(group.layer, packages=(package,), requirements=lockfile.requirements((package,)))
            merged |= packages.walk(self._installed(one, f"{name}-{number}"))
        return merged

    def _all(self) -> Mapping[str, Mapping[str, File]]:
        if len(self._groups) < 2:
            return {}
        layers = [group.layer for group in self._groups]
        everything = replace(
            layers[0],
            packages=tuple(package for layer in layers for package in layer.packages),
            requirements="".join(layer.requirements for layer in layers),
            wheels=tuple(sorted({wheel for layer in layers for wheel in layer.wheels})),
        )
        owners = {package.name: group.name for group in self._groups for package in group.layer.packages}
        return split(packages.walk(self._installed(everything, "together")), owners)

    def _installed(self, layer: PackagesLayer, name: str) -> Path:
        place = self._folder / name
        place.mkdir()
        self._install(layer, place / "packages")
        return place / "packages"


def split(files: Mapping[str, File], owners: Mapping[str, str]) -> Mapping[str, Mapping[str, File]]:
    """Files by the group that owns the package of each; none at all where one has two owners, or no one.

    `owners` are groups by the names of packages.
    """
    found: dict[str, dict[str, File]] = {}
    left = dict(files)
    for record in sorted(name for name in files if name.count("/") == 1 and name.endswith(".dist-info/RECORD")):
        group = owners.get(lockfile.normalised(record.partition("-")[0]))
        if group is None:
            return {}
        for row in csv.reader(io.StringIO(files[record].path.read_text())):
            if row and row[0] in files:
                if row[0] not in left:
                    return {}
                found.setdefault(group, {})[row[0]] = left.pop(row[0])
    return {} if left else found
