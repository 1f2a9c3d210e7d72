"""Modules of locked wheels, fetched with the real uv from a folder of wheels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dynamo_build.errors import GraphError
from dynamo_build.events import Event, Noted
from dynamo_build.graph.discover import find_graph
from dynamo_build.model.plan import BuildOptions, Lock, LockedPackage
from dynamo_build.packages import lockfile
from dynamo_build.packages.requirements import collect_requirements
from dynamo_build.packages.wheel_modules import Records
from support import handmade
from support.projects import write_project

GRAPH = """
import strange_name
from dynamo.sdk import service
try:
    import guarded_name
    WORKERS = 2
except ImportError:
    WORKERS = 1

@service(workers=WORKERS)
class A:
    limit = strange_name.LIMIT
"""


@pytest.fixture
def packages(tmp_path: Path) -> tuple[LockedPackage, ...]:
    """Two wheels whose modules have other names than they, in a folder that uv looks into."""
    (tmp_path / "wheels").mkdir()
    found = []
    for name, files in (
        ("odd", {"strange_name/__init__.py": b"LIMIT = 7\n", "strange_name/data.txt": b"", "more.so": b""}),
        ("other-odd", {"guarded_name.py": b"", "other_odd_tests/deep/x.py": b""}),
    ):
        file, content = handmade.distribution(name.replace("-", "_"), "1.0", files)
        (tmp_path / "wheels" / file).write_bytes(content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        found.append(LockedPackage(name=name, version="1.0", hashes=(digest,)))
    return tuple(found)


def records(tmp_path: Path, wheels: str = "wheels", **environment: str) -> Records:
    around = {**os.environ, "UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path / wheels)}
    around["UV_CACHE_DIR"] = str(tmp_path / "uv")
    return Records(environment={**around, **environment}, cache=tmp_path / "cache")


def test_modules_are_what_the_record_says(tmp_path: Path, packages: tuple[LockedPackage, ...]) -> None:
    """And are kept by the wheels' hashes: the second time no program runs."""
    lock = Lock(python="3.11", packages={"linux/amd64": packages})
    expected = frozenset({"strange_name", "more", "guarded_name", "other_odd_tests"})
    assert records(tmp_path).list_modules(lock) == expected
    assert records(tmp_path, DYNAMO_UV="/none").list_modules(lock) == expected
    for path in (tmp_path / "cache/modules").glob("*.json"):
        path.write_text("{")
    assert records(tmp_path).list_modules(lock) == expected


def test_wheels_that_cannot_be_had_have_no_known_modules(tmp_path: Path, packages: tuple[LockedPackage, ...]) -> None:
    """One line says so, and the next build asks again."""
    said: list[Event] = []
    lock = Lock(python="3.11", packages={"linux/amd64": packages})
    empty = records(tmp_path, wheels="none")
    assert Records(environment=empty.environment, cache=empty.cache, on=said.append).list_modules(lock) == frozenset()
    assert [event for event in said if isinstance(event, Noted)]
    assert "strange_name" in records(tmp_path).list_modules(lock)


def test_a_graph_imports_what_a_wheel_has(tmp_path: Path, packages: tuple[LockedPackage, ...]) -> None:
    """Needed or guarded, it is stood in for; what no wheel has stays a problem."""
    project = write_project(tmp_path / "p", {"m.py": GRAPH, "requirements.txt": "odd\nother-odd\n"})
    wanted, _, _ = collect_requirements(project, ["m.py"], BuildOptions())
    lock = Lock(python="3.11", packages={"linux/amd64": packages})
    (project / lockfile.NAME).write_bytes(lockfile.format_lock(lock, wanted))
    with pytest.raises(GraphError, match="has 1 problem"):
        find_graph("m:A", project, BuildOptions())
    graph = find_graph("m:A", project, BuildOptions(), recorded=records(tmp_path).list_modules).graph
    assert graph.stand_ins == ("guarded_name", "strange_name")
    assert graph.service("A").workers == 2
    (project / "m.py").write_text(GRAPH.replace("import strange_name", "import strange_name, nowhere"))
    with pytest.raises(GraphError) as caught:
        find_graph("m:A", project, BuildOptions(), recorded=records(tmp_path).list_modules)
    assert ["`nowhere`" in problem.message for problem in caught.value.problems] == [True]
