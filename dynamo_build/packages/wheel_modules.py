"""Modules of locked wheels, read from their RECORD, for imports that no package's name explains.

uv fetches the wheels, so they come from the index of the lock, by its hashes, into the cache that images are built
from. What a wheel has is kept by its hashes. Source: the binary distribution format (PEP 427).
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamo_build.errors import StoreError, ToolMissing
from dynamo_build.events import Listener, Noted, Started, ignore
from dynamo_build.model.plan import Lock, LockedPackage
from dynamo_build.packages import lockfile
from dynamo_build.packages.uv import PLATFORMS, program
from dynamo_build.system import atomic, process
from dynamo_build.system.digest import digest_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Where to fetch wheels and to keep what they have."""

    environment: Mapping[str, str]
    cache: Path
    on: Listener = ignore

    def modules(self, lock: Lock) -> frozenset[str]:
        """The top-level modules of all locked wheels; of a package without a wheel, and where none can be had, none."""
        found: set[str] = set()
        for platform, packages in lock.packages.items():
            known = {package: self._known(package, platform) for package in packages if package.hashes}
            missing = [package for package, modules in known.items() if modules is None]
            fetched = self._fetch(missing, platform, lock.python) if missing else {}
            for package, modules in {**known, **fetched}.items():
                found.update(modules or ())
                if package in fetched:
                    self._keep(package, platform, fetched[package])
        return frozenset(found)

    def _fetch(
        self, packages: list[LockedPackage], platform: str, python: str
    ) -> Mapping[LockedPackage, tuple[str, ...]]:
        self.on(Started(what=f"looking for modules in {len(packages)} wheels"))
        with tempfile.TemporaryDirectory(prefix="dynamo-wheels-") as name:
            folder = Path(name)
            (folder / "requirements.txt").write_text(lockfile.requirements(packages), encoding="utf-8")
            command = [
                *(program(self.environment), "pip", "install", "--quiet", "--no-progress", "--no-deps"),
                *("--require-hashes", "--only-binary", ":all:", "--target", str(folder / "packages")),
                *("--python", sys.executable, "--python-version", python, "--python-platform", PLATFORMS[platform]),
                *(part for package in packages for part in self._beside(package)),
                *("--link-mode", "symlink", "--requirements", str(folder / "requirements.txt")),
            ]
            try:
                process.run(command, folder=folder, environment=self.environment, on=ignore)
            except (process.ProgramFailed, ToolMissing):
                self.on(Noted(text="the locked wheels cannot be fetched, so their modules are known by name alone"))
                return {}
            recorded = dict(_recorded(folder / "packages"))
        return {package: recorded[package.name] for package in packages if package.name in recorded}

    def _beside(self, package: LockedPackage) -> tuple[str, ...]:
        """Where uv finds a wheel that no index has, when it was made here."""
        found = self.cache.glob(f"wheels/*/{package.wheel}") if package.wheel else ()
        return tuple(part for path in found for part in ("--find-links", str(path.parent)))

    def _path(self, package: LockedPackage, platform: str) -> Path:
        key = "\n".join([package.name, package.version, platform, *package.hashes])
        return self.cache / "modules" / f"{digest_bytes(key.encode())[7:39]}.json"

    def _known(self, package: LockedPackage, platform: str) -> tuple[str, ...] | None:
        try:
            known = json.loads(self._path(package, platform).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        whole = isinstance(known, list) and all(isinstance(module, str) for module in known)
        return tuple(known) if whole else None

    def _keep(self, package: LockedPackage, platform: str, modules: Iterable[str]) -> None:
        path = self._path(package, platform)
        try:
            with atomic.reporting("write the cache"):
                atomic.keep(path, json.dumps(sorted(modules)).encode())
        except StoreError:
            pass  # fetched again then


def _recorded(packages: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for info in packages.glob("*.dist-info"):
        name = lockfile.normalised(info.name.removesuffix(".dist-info").rpartition("-")[0])
        try:
            text = (info / "RECORD").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield name, tuple(sorted(set(_modules(text))))


def _modules(record: str) -> Iterator[str]:
    for row in csv.reader(io.StringIO(record)):
        first, _, rest = (row[0] if row else "").partition("/")
        last = row[0].rpartition("/")[2] if row else ""
        if not last.endswith((".py", ".so", ".pyd")) or first.endswith((".dist-info", ".data")):
            continue
        module = first if rest else first.partition(".")[0]
        if module.isidentifier():
            yield module
