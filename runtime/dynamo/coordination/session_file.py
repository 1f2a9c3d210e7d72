"""The session file of `dynamo serve`: the address of its graph for clients, readable by its user alone."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dynamo.sdk import running


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A graph that runs on this machine: its NATS server and what opens it, and the supervisor's process."""

    nats: str
    nats_token: str
    token: str
    graph: str
    pid: int


def write_session(session: Session, environment: Mapping[str, str]) -> Path:
    """Write the file. Raises OSError, also when the folder is someone else's."""
    place = running.make_folder(environment)
    path = place / f"{session.pid}.json"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(session), file)
    return path


def remove_session(path: Path) -> None:
    """Remove the file, and its folder when it was the last."""
    with contextlib.suppress(OSError):
        path.unlink()
        path.parent.rmdir()


def find_newest_session(environment: Mapping[str, str]) -> Session | None:
    """The session of the graph that was started last and still runs."""
    for path in running.list_files(environment, ".json"):
        try:
            session = Session(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if Path(f"/proc/{session.pid}").exists() or not Path("/proc/self").exists():
            return session
    return None
