"""The layers of a plan, several at once: from the local cache, from an earlier image, or new."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dynamo_build.builders import secrets
from dynamo_build.builders.oci import packages
from dynamo_build.builders.oci.bytecode import Bytecode
from dynamo_build.builders.oci.earlier import Earlier
from dynamo_build.builders.oci.groups import Group, groups
from dynamo_build.builders.oci.unpacked import Unpacked
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Finished, Listener, Started
from dynamo_build.model.image import FilesLayer, ImagePlan, PackagesLayer, PlannedLayer, WheelLayer
from dynamo_build.oci.cache import LayerCache
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.seams import Surroundings
from dynamo_build.system.scratch import scratch

#: Given a folder for what is in between.
Make = Callable[[Path], Layer]
Made = Callable[[Layer], object]


class Layers:
    """Makes the layers of one plan. `keys` names, for those that cost something, what each was made from."""

    def __init__(
        self,
        plan: ImagePlan,
        surroundings: Surroundings,
        cache: LayerCache,
        earlier: Earlier,
        bytecode: Bytecode,
        interpreter: str,
        on: Listener,
    ) -> None:
        self._plan = plan
        self._surroundings = surroundings
        self._cache = cache
        self._earlier = earlier
        self._bytecode = bytecode
        self._interpreter = interpreter
        self._on = on
        self.keys: dict[str, str] = {}
        self._missing: list[Group] = []

    def make(self, made: Made = lambda _: None) -> list[Layer]:
        """All layers in the order of the plan; `made` is told of each that was not kept, from any thread.

        Raises ImageBuildError or LockError.
        """
        wanted = [make for planned in self._plan.layers for make in self._makes(planned)]
        jobs = self._plan.jobs or len(os.sched_getaffinity(0))
        with (
            scratch(self._surroundings.cache, "packages-") as folder,
            ThreadPoolExecutor(jobs, thread_name_prefix="layer") as pool,
        ):
            self._unpacked = Unpacked(self._missing, folder, self._install)
            self._made = made
            futures = [pool.submit(make, folder) for make in wanted]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _makes(self, planned: PlannedLayer) -> list[Make]:
        bento = Path(self._plan.bento)
        match planned:
            case PackagesLayer():
                return [self._packages(group) for group in groups(planned)]
            case WheelLayer():
                return [self._runtime(bento / planned.wheel, planned.target)]
            case FilesLayer():
                return [lambda _: self._cache.made(_files(bento / planned.folder, planned), planned.name)]
            case _:
                raise ImageBuildError("this builder cannot run commands in the image", ["Use `--builder docker`."])

    def _packages(self, group: Group) -> Make:
        key = packages.key(group.layer, self._interpreter, self._bytecode.version)

        def make(scratch: Path) -> Layer:
            self._on(Started(what=group.name))
            files = self._unpacked.files(group)
            compiled = scratch / f"compiled-{hashlib.sha256(group.name.encode()).hexdigest()[:16]}"
            found = packages.entries(files, compiled, self._interpreter, self._bytecode, self._on)
            layer = self._cache.keep(key, found, group.name)
            self._on(Finished(what=group.name, detail=f"{layer.size / 1e6:.1f} MB packed"))
            return layer

        return self._known(key, group.name, make, group)

    def _runtime(self, wheel: Path, target: str) -> Make:
        try:
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        except OSError as error:
            raise _unreadable(wheel, error) from error
        key = f"runtime {packages.FORMAT} {digest} {target} {self._bytecode.version}"

        def make(scratch: Path) -> Layer:
            return self._cache.keep(key, _wheel(wheel, target, self._bytecode, scratch / "runtime"), "runtime")

        return self._known(key, "runtime", make)

    def _known(self, key: str, name: str, make: Make, group: Group | None = None) -> Make:
        """What gives the layer of this key: as it is kept, or made. Looked up here, one after the other."""
        kept = self._cache.find(key, name) or self._earlier.find(key, name)
        if group and not kept:
            self._missing.append(group)

        def reuse_or_make(scratch: Path) -> Layer:
            layer = kept or make(scratch)
            self.keys[key] = layer.diff_id
            if not kept:
                self._made(layer)
            return layer

        return reuse_or_make

    def _install(self, wanted: PackagesLayer, folder: Path) -> None:
        with secrets.variables(self._plan.secrets, self._surroundings.environment) as environment:
            packages.install(wanted, folder, environment, self._on, self._plan.bento)


def _files(folder: Path, planned: FilesLayer) -> list[Entry]:
    target = planned.target.strip("/")
    found = [Entry(path=target)]
    for path in planned.paths:
        source = folder / path
        if source.is_symlink() or not source.is_file():
            raise ImageBuildError(f"`{path}` is missing in `{folder}`", ["Build the bento again."])
        found.append(Entry(path=f"{target}/{path}", content=source, executable=bool(source.stat().st_mode & 0o100)))
    return found


def _wheel(wheel: Path, target: str, bytecode: Bytecode, scratch: Path) -> list[Entry]:
    """A pure wheel's files and their bytecode; it has no scripts that would need an installer."""
    found: dict[str, Entry] = {}
    source = scratch / "source"
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    executable = bool(member.external_attr >> 16 & 0o100)
                    content = archive.read(member)
                    found[member.filename] = Entry(
                        path=f"{target.strip('/')}/{member.filename}", content=content, executable=executable
                    )
            archive.extractall(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(wheel, error) from error
    modules = {name: source / name for name in found}
    for name, path in bytecode.compile(modules, target, scratch / "compiled").items():
        found[name] = Entry(path=f"{target.strip('/')}/{name}", content=path)
    return list(found.values())


def _unreadable(wheel: Path, error: Exception) -> ImageBuildError:
    return ImageBuildError(f"the runtime's wheel `{wheel.name}` cannot be read: {error}", ["Build the bento again."])
