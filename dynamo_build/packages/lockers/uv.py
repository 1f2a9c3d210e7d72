"""Packages locked by uv, for each platform and for the image's Python, with hashes and without index addresses."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from dynamo_build.errors import LockError
from dynamo_build.events import Finished, Listener, Started, ignore
from dynamo_build.model.plan import Lock, LockedPackage, Requirements
from dynamo_build.packages import lockfile
from dynamo_build.packages.uv import PLATFORMS, program
from dynamo_build.seams import Surroundings
from dynamo_build.system.process import ProgramFailed, run

_TAIL = 8


class UvLocker:
    """Runs `uv pip compile`. The environment and uv's own settings say which index it asks."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.environment = dict(surroundings.environment)

    def lock(self, wanted: Requirements, project: Path, on: Listener) -> Lock:
        """Resolve for every platform; pins that are there stay where they can. Raises LockError, ToolMissing."""
        uv = program(self.environment)
        kept = lockfile.load(project / lockfile.NAME)[1] if wanted.lock and _readable(project) else None
        packages = {}
        with tempfile.TemporaryDirectory(prefix="dynamo-lock-") as name:
            folder = Path(name)
            (folder / "wanted.in").write_text("".join(f"{line}\n" for line in wanted.lines), encoding="utf-8")
            (folder / "constraints.txt").write_text(
                "".join(f"{line}\n" for line in wanted.constraints), encoding="utf-8"
            )
            for platform in wanted.platforms:
                on(Started(what=f"locking packages for {platform}"))
                before = kept.packages.get(platform, ()) if kept else ()
                packages[platform] = self._compile(uv, folder, wanted, platform, before, project)
                on(Finished(what=f"locked for {platform}", detail=f"{len(packages[platform])} packages"))
        return Lock(python=wanted.python, packages=packages)

    def _compile(
        self,
        uv: str,
        folder: Path,
        wanted: Requirements,
        platform: str,
        before: tuple[LockedPackage, ...],
        project: Path,
    ) -> tuple[LockedPackage, ...]:
        output = folder / f"{platform.replace('/', '-')}.txt"
        if before:
            output.write_text(lockfile.requirements(before), encoding="utf-8")
        command = [
            *(
                uv,
                "pip",
                "compile",
                "--quiet",
                "--generate-hashes",
                "--no-header",
                "--no-annotate",
                "--no-python-downloads",
            ),
            *("--no-emit-index-url", "--no-emit-find-links", "--color", "never", "--python", sys.executable),
            *("--python-version", wanted.python, "--python-platform", PLATFORMS[platform]),
            *(part for where in wanted.wheels for part in ("--find-links", where)),
            *("--constraint", str(folder / "constraints.txt"), "--output-file", str(output), str(folder / "wanted.in")),
        ]
        try:
            run(command, folder=project, environment=self.environment, on=ignore)
        except ProgramFailed as error:
            raise self._refused(error, platform) from error
        return lockfile.parse(output.read_text(encoding="utf-8"), "uv's answer")

    def _refused(self, error: ProgramFailed, platform: str) -> LockError:
        said = [lockfile.without_credentials(line).strip(" ×╰─▶\t") for line in error.tail if line.strip()]
        text = re.sub(r"^(?:error|Caused by|cause|hint):\s*", "", " ".join(said).strip())
        what = (text[:1].lower() + text[1:]).rstrip(".") or f"uv ended with code {error.code}"
        hints = ["Correct the names or versions that the project asks for."]
        if self.environment.get("UV_OFFLINE"):
            what = f"uv's cache does not hold all of them, and it may not ask the index (it said: {what})"
            hints = [f"Build once without `--offline`, or commit {lockfile.NAME}."]
        elif re.search(r"(?i)connect|dns|network|offline|timed out|fetch", text):
            hints = [
                "Is the index reachable? uv reads UV_DEFAULT_INDEX and UV_INDEX.",
                f"A committed {lockfile.NAME} needs no index.",
            ]
        return LockError(f"packages cannot be locked for {platform}: {what}", hints)


def _readable(project: Path) -> bool:
    try:
        lockfile.load(project / lockfile.NAME)
    except LockError:
        return False
    return True
