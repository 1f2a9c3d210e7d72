"""Locked wheels as files of a layer: installed by uv for the image's platform, without traces of this machine.

Source: PyPA specifications "Recording installed projects" (RECORD, INSTALLER, direct_url.json) and the wheel format
(scripts); uv's `pip install --target`.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamo.sdk import codec
from dynamo_build.builders.oci.bytecode import Bytecode
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import PACKAGES, PackagesLayer
from dynamo_build.model.plan import WHEELS
from dynamo_build.oci.layer import Entry
from dynamo_build.packages import uv
from dynamo_build.system import process

#: Raised when the same wheels would give other files.
FORMAT = 3
INSTALLER = b"dynamo-build\n"
_NOT_CARRIED = ("direct_url.json", "uv_cache.json", "uv_build.json")
_SCRIPT = re.compile(rb"\A#!(?:/bin/sh\n'''exec' [^\n]*\n' '''|[^\n]*python[^\n]*)\n")


def cache_key(wanted: PackagesLayer, interpreter: str, bytecode: str = "none") -> str:
    """All that decides the layer's bytes."""
    decides = {
        "format": FORMAT,
        "requirements": wanted.requirements,
        "python": wanted.python,
        "platform": wanted.platform,
        "interpreter": interpreter,
        "bytecode": bytecode,
    }
    return f"packages {hashlib.sha256(codec.encode_canonical(decides)).hexdigest()}"


def install_packages(
    wanted: PackagesLayer, folder: Path, environment: Mapping[str, str], on: Listener, bento: str = ""
) -> None:
    """Unpack the locked wheels below `folder`, as links to uv's cache where that is on the same file system: they are
    only read here. Those that no index has come from the folder of the bento. Raises ImageBuildError when one is
    missing, or has other content.
    """
    if wanted.platform not in uv.PLATFORMS:
        raise ImageBuildError(f"packages cannot be installed for {wanted.platform}")
    requirements = folder.with_name("requirements.txt")
    requirements.write_text(wanted.requirements)
    command = [
        uv.find_uv(environment), "pip", "install", "--no-progress", "--quiet", "--target", str(folder),
        "--python", sys.executable, "--python-version", wanted.python,
        "--python-platform", uv.PLATFORMS[wanted.platform],
        "--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "hardlink",
        "--requirements", str(requirements),
    ]  # fmt: skip
    command += ["--find-links", str(Path(bento, WHEELS).absolute())] if wanted.wheels else []
    # what is in uv's cache needs no index: asking it costs as much as all the rest, and the hashes decide anyway
    with contextlib.suppress(process.ProgramFailed):
        process.run_program([*command, "--offline"], environment=environment, folder=folder.parent)
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        process.run_program(command, on=on, environment=environment, folder=folder.parent)
    except process.ProgramFailed as error:
        said = [line.strip(" ×╰─▶├│") for line in error.tail if line.strip()]
        raise ImageBuildError(
            f"the locked packages cannot be installed: {' '.join(said)[:600] or error.message}",
            [
                "Only wheels can be installed without an engine; a package without one needs `--builder docker`.",
                "Lock again with `dynamo build` when an index no longer has what was locked.",
            ],
        ) from error


def list_entries(
    files: Mapping[str, File], compiled: Path, interpreter: str, bytecode: Bytecode, on: Listener
) -> list[Entry]:
    """What was installed, as an installer would have left it in the image; `compiled` is a folder for .pyc files.

    Raises ImageBuildError for a clash.
    """
    found = dict(files)
    for name in sorted(found):
        if name.startswith("bin/"):
            _make_script_portable(found[name], interpreter)
    made = bytecode.compile_modules({name: file.path for name, file in found.items()}, PACKAGES, compiled)
    found |= {name: File(path) for name, path in made.items()}
    _rewrite_record(found, on)
    return [file.build_entry(f"{PACKAGES[1:]}/{name}") for name, file in found.items()]


@dataclass(slots=True)
class File:
    """A file as installed, and its bytes where they are other ones than on disk."""

    path: Path
    executable: bool = False
    changed: bytes | None = None

    def read(self) -> bytes:
        return self.path.read_bytes() if self.changed is None else self.changed

    def build_entry(self, path: str) -> Entry:
        return Entry(path=path, content=self.path if self.changed is None else self.changed, executable=self.executable)


def walk_files(folder: Path) -> dict[str, File]:
    """The files that uv installed below a folder, by their names there."""
    found: dict[str, File] = {}
    left = [""]
    while left:
        inside = left.pop()
        with os.scandir(folder / inside) as listed:
            for entry in listed:
                name = f"{inside}{entry.name}"
                if entry.is_symlink() or name == ".lock":
                    continue
                if not entry.is_dir():
                    found[name] = File(Path(entry.path), executable=bool(entry.stat().st_mode & 0o100))
                elif entry.name != "__pycache__":
                    left.append(f"{name}/")
    return found


def _make_script_portable(file: File, interpreter: str) -> None:
    with file.path.open("rb") as stream:
        if stream.read(2) != b"#!":
            return
    content = file.read()
    if match := _SCRIPT.match(content):
        file.changed = f"#!{interpreter}\n".encode() + content[match.end() :]
        file.executable = True


def _rewrite_record(files: dict[str, File], on: Listener) -> None:
    """Make each dist-info say what is there: one INSTALLER, no note of where it came from, RECORD sorted and right."""
    owners: dict[str, str] = {}
    for name in sorted(files):
        info, _, last = name.rpartition("/")
        if last == "RECORD" and info.endswith(".dist-info") and "/" not in info:
            files[f"{info}/INSTALLER"].changed = INSTALLER
            for left in _NOT_CARRIED:
                files.pop(f"{info}/{left}", None)
            rows = _read_rows(files, name)
            for path, checked, _ in rows:
                if path in owners and not path.startswith("../"):
                    _check_clash(path, owners[path], info, on)
                owners[path] = info
                del checked
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            files[name].changed = text.getvalue().encode()


def _read_rows(files: Mapping[str, File], record: str) -> list[tuple[str, str, str]]:
    rows = []
    sources = _list_compiled(files)
    for row in csv.reader(io.StringIO(files[record].path.read_text())):
        path = row[0] if row else ""
        if path not in files or path.endswith(".pyc"):
            continue
        if path in sources:
            rows += [(compiled, "", "") for compiled in sources[path]]
        if path == record:
            rows.append((path, "", ""))
        elif files[path].changed is not None or len(row) < 3 or not row[1]:
            content = files[path].read()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            rows.append((path, f"sha256={digest}", str(len(content))))
        else:
            rows.append((path, row[1], row[2]))
    return sorted(set(rows))


def _list_compiled(files: Mapping[str, File]) -> dict[str, list[str]]:
    """Modules, and the names of what they were compiled to; an installer records these without a digest."""
    found: dict[str, list[str]] = {}
    for name in files:
        folder, _, last = name.rpartition("__pycache__/")
        if last.endswith(".pyc"):
            found.setdefault(f"{folder}{last.rsplit('.', 2)[0]}.py", []).append(name)
    return found


def _check_clash(path: str, first: str, second: str, on: Listener) -> None:
    one, other = (info.removesuffix(".dist-info") for info in (first, second))
    on(Noted(text=f"`{path}` belongs to both {one} and {other}; the one that was unpacked last is in the image"))
