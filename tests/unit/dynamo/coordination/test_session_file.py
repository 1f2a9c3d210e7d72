"""Session files: private, and only of graphs that run."""

from __future__ import annotations

import os
import stat

import pytest

from dynamo.coordination import session_file


def made(pid: int) -> session_file.Session:
    return session_file.Session(nats="nats://127.0.0.1:1", nats_token="a", token="b", graph="g", pid=pid)


def test_written_and_found(tmp_path):
    """The newest session of a living process is found, and its file is private."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert session_file.find_newest_session(environment) is None
    path = session_file.write_session(made(os.getpid()), environment)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert session_file.find_newest_session(environment) == made(os.getpid())
    dead = session_file.write_session(made(2**22 - 1), environment)
    os.utime(dead, (2e9, 2e9))
    (path.parent / "junk.json").write_text("[]")
    assert session_file.find_newest_session(environment) == made(os.getpid())
    session_file.remove_session(dead)
    (path.parent / "junk.json").unlink()
    session_file.remove_session(path)
    assert not path.parent.exists()


def test_a_graph_that_ends_meanwhile_hides_no_other(tmp_path, monkeypatch):
    """Its file may go between being listed and being looked at."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    path = session_file.write_session(made(os.getpid()), environment)
    gone = session_file.write_session(made(2**22 - 1), environment)
    real = type(path).glob

    def listed(self, pattern):
        found = list(real(self, pattern))
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(type(path), "glob", listed)
    assert session_file.find_newest_session(environment) == made(os.getpid())


def test_a_folder_of_others_is_not_used(tmp_path):
    """A folder that others may write to is refused."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "dynamo").mkdir()
    (tmp_path / "dynamo").chmod(0o777)
    with pytest.raises(PermissionError):
        session_file.write_session(made(1), environment)
    assert session_file.find_newest_session(environment) is None
