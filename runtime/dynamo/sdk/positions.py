"""Places in code, told so that they mean the same on every machine. A `project` is a resolved folder."""

from __future__ import annotations

from types import TracebackType

from dynamo.sdk.graph import Position

_INSTALLED = ("/site-packages/", "/dist-packages/")


def is_own(file: str, project: str) -> bool:
    """Whether a file is the project's own: below its folder, and not installed there (a virtual environment)."""
    return bool(project) and file.startswith(f"{project}/") and not any(name in file for name in _INSTALLED)


def own_path(file: str, project: str) -> str:
    """The file relative to the project; of a file elsewhere only what does not name this machine."""
    if is_own(file, project):
        return file.removeprefix(f"{project}/")
    for name in _INSTALLED:
        if name in file:
            return file.rpartition(name)[2]
    return file.rpartition("/")[2]


def relative(position: Position, project: str) -> Position:
    """The position with its file as `own_path` says; as it is when there is no project."""
    if not project or not position.file.startswith("/"):
        return position
    return Position(file=own_path(position.file, project), line=position.line)


def own_line(traceback: TracebackType | None, project: str) -> Position:
    """The last line of the project's own code in a traceback; an empty position when there is none."""
    found = Position()
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if is_own(file, project):
            found = Position(file=file, line=traceback.tb_lineno)
        traceback = traceback.tb_next
    return relative(found, project)
