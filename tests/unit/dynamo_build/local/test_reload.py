"""Which changes of a project `serve --reload` sees."""

from __future__ import annotations

from dynamo_build.local.reload import Watching


def test_changes_of_the_code_are_seen(tmp_path):
    """A changed, a new and a removed file; each change once."""
    (tmp_path / "a.py").write_text("1")
    watching = Watching(tmp_path)
    assert not watching(0)
    (tmp_path / "a.py").write_text("22")
    assert watching(0)
    assert not watching(0)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "b.yaml").write_text("")
    assert watching(0)
    (tmp_path / "a.py").unlink()
    assert watching(0)


def test_other_files_are_not(tmp_path):
    """Data, caches, hidden folders and virtual environments change without a reload."""
    watching = Watching(tmp_path)
    for name in ("data.bin", ".git/x.py", "__pycache__/a.py", "env/lib/b.py", ".hidden.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    assert not watching(0)


def test_a_configuration_elsewhere(tmp_path):
    """The file of `-f` counts, wherever it lies."""
    project, file = tmp_path / "project", tmp_path / "config.yml"
    project.mkdir()
    watching = Watching(project, [file])
    file.write_text("a: 1")
    assert watching(0)
