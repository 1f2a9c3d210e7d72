"""`dynamo build`, `list`, `get` and `delete`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dynamo_build.events import ignore
from dynamo_build.model.plan import BuildOptions
from dynamo_build.packages import lockfile
from dynamo_build.packages.requirements import require
from support.command_line import dynamo
from support.projects import FakeLocker

HELLO = """
from dynamo.sdk import api, depends, dynamo_endpoint, service

@service(dynamo={"namespace": "x"})
class Backend:
    @dynamo_endpoint()
    async def generate(self, text: str):
        yield text

@service
class Frontend:
    backend = depends(Backend)

    @api
    async def generate(self, text: str):
        async for item in self.backend.generate(text):
            yield item
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A graph with a lock, so that no index is asked."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "hello.py").write_text(HELLO)
    wanted, _, _ = require(folder, ["hello.py"], BuildOptions())
    lock = FakeLocker().lock(wanted, folder, ignore)
    (folder / lockfile.NAME).write_bytes(lockfile.dump(lock, wanted))
    return folder


def test_the_life_of_a_bento(project: Path) -> None:
    """Build, list, get in every form, delete; stdout is data alone."""
    first = dynamo("build", "hello:Frontend", "-o", "name", folder=project)
    assert (first.returncode, first.stderr) == (0, ""), first.stderr
    tag = first.stdout.strip()
    assert tag.startswith("frontend:")
    assert dynamo("build", "hello:Frontend", "--locked", "-o", "name", folder=project).stdout.strip() == tag
    assert dynamo("list", "-o", "name", folder=project).stdout == f"{tag}\n"
    assert json.loads(dynamo("list", "-o", "json", folder=project).stdout)[0]["tag"] == tag
    assert tag in dynamo("list", folder=project).stdout
    shown = yaml.safe_load(dynamo("get", tag, "-o", "yaml", folder=project).stdout)
    assert shown == json.loads(dynamo("get", "-o", "json", folder=project).stdout)
    assert f"{shown['name']}:{shown['version']}" == tag
    path = Path(dynamo("get", "frontend", "-o", "path", folder=project).stdout.strip())
    assert (path / "src/hello.py").read_text() == HELLO
    assert "BASE_IMAGE" in (path / "env/docker/Dockerfile").read_text()
    assert dynamo("delete", tag, folder=project).returncode == 2
    assert dynamo("delete", tag, "--yes", folder=project).stdout == f"deleted {tag}\n"
    gone = dynamo("get", tag, folder=project)
    assert (gone.returncode, gone.stdout) == (16, "")


def test_configuration_reaches_the_bento(project: Path) -> None:
    """`-f` and `--Service.key=value` are resolved and frozen; ServiceArgs change the graph."""
    (project / "c.yaml").write_text("Backend: {a: 1, ServiceArgs: {workers: 3}}\n")
    done = dynamo("build", "hello:Frontend", "-f", "c.yaml", "--Backend.b=-2", "-o", "json", folder=project)
    assert done.returncode == 0, done.stderr
    bento = json.loads(done.stdout)
    config = json.loads(Path(bento["folder"], "config/config.json").read_bytes())
    assert config["Backend"] == {"a": 1, "b": -2, "ServiceArgs": {"workers": 3}}
    graph = json.loads(Path(bento["folder"], "config/graph.json").read_bytes())
    assert [service["workers"] for service in graph["services"]] == [3, 1]


def test_a_dry_run_shows_the_largest_first_and_writes_nothing(project: Path, tmp_path: Path) -> None:
    """Nothing appears in the store."""
    (project / "big.bin").write_bytes(b"x" * 5000)
    done = dynamo("build", "hello:Frontend", "--dry-run", folder=project, DYNAMO_HOME=str(tmp_path / "home"))
    assert done.stdout.splitlines()[0].endswith("big.bin")
    assert not (tmp_path / "home").exists()


def test_export_import_verify_and_gc(project: Path, tmp_path: Path) -> None:
    """A bento moves to another store as one file; damage there is named; old versions go when asked."""
    tag = dynamo("build", "hello:Frontend", "-o", "name", folder=project).stdout.strip()
    assert dynamo("export", "frontend", str(tmp_path / "x.bento"), folder=project).returncode == 0
    other = {"DYNAMO_HOME": str(tmp_path / "other")}
    assert dynamo("import", "x.bento", "-o", "name", folder=tmp_path, **other).stdout.strip() == tag
    assert dynamo("verify", folder=tmp_path, **other).stdout == f"{tag}: as it was built\n"
    path = Path(dynamo("get", tag, "-o", "path", folder=tmp_path, **other).stdout.strip())
    (path / "src/hello.py").write_text("x")
    damaged = dynamo("verify", tag, "-o", "name", folder=tmp_path, **other)
    assert (damaged.returncode, damaged.stdout) == (16, f"{tag}\n")
    assert "Traceback" not in damaged.stderr
    (project / "more.txt").write_text("x")
    newer = dynamo("build", "hello:Frontend", "-o", "name", folder=project).stdout.strip()
    assert dynamo("gc", "--keep", "1", "-o", "name", folder=project).stdout.strip() == tag
    assert dynamo("list", "-o", "name", folder=project).stdout.strip() == newer


WRONG = {
    "no module": (["build", "nothing:Frontend"], 10),
    "no class": (["build", "hello:Nothing"], 10),
    "no target": (["build", "a b"], 2),
    "option": (["build", "hello:Frontend", "--nonsense"], 2),
    "service": (["build", "hello:Frontend", "--Nobody.x=1"], 10),
    "service args": (["build", "hello:Frontend", "--Backend.ServiceArgs.worker=1"], 10),
    "secret": (["build", "hello:Frontend", "--Backend.password=hunter2"], 10),
    "config": (["build", "hello:Frontend", "-f", "none.yaml"], 2),
    "folder": (["build", "hello:Frontend", "--working-dir", "none"], 2),
    "platform": (["build", "hello:Frontend", "--platform", "windows/amd64"], 2),
    "label": (["build", "hello:Frontend", "--label", "x"], 2),
    "output": (["build", "hello:Frontend", "-o", "xml"], 2),
    "name": (["build", "hello:Frontend", "--name", "A B"], 2),
    "lock": (["build", "hello:Frontend", "--locked", "--python", "3.12"], 11),
    "tag": (["get", "no/tag"], 2),
    "bento": (["get", "none"], 16),
    "version": (["delete", "frontend", "--yes"], 2),
    "folder without": (["get"], 16),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_a_line_a_hint_and_a_code(project: Path, name: str) -> None:
    """What was seen and what to do on stderr, nothing on stdout, the documented code, no traceback."""
    arguments, code = WRONG[name]
    done = dynamo(*arguments, folder=project)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "error: " in done.stderr and "hint: " in done.stderr
    assert "Traceback" not in done.stderr and "hunter2" not in done.stderr


@pytest.mark.parametrize(
    "code", ["raise SystemExit(0)", "def broken(:", "import no_such_module_anywhere", "1 / 0", "import os; os._exit(0)"]
)
def test_a_graph_that_cannot_be_imported(project: Path, code: str) -> None:
    """The author's mistake is shown, with code 10, and nothing is built."""
    (project / "hello.py").write_text(code + "\n")
    done = dynamo("build", "hello:Frontend", folder=project)
    assert (done.returncode, done.stdout) == (10, ""), done.stderr
    assert dynamo("list", "-o", "name", folder=project).stdout == ""


def test_the_configuration_is_shown_with_its_sources(project: Path) -> None:
    """A line per value; nothing is built."""
    (project / "c.yaml").write_text("Backend: {a: 1, b: {c: x}}\n")
    command = ["build", "hello:Frontend", "-f", "c.yaml", "--Backend.b.c=2", "--show-config"]
    done = dynamo(*command, folder=project)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["Backend.a", "1", "c.yaml"] in lines
    assert ["Backend.b.c", "2", "argument"] in lines
    assert ["Backend.ServiceArgs.dynamo.namespace", '"x"', "decorator"] in lines
    assert {"service": "Backend", "key": "a", "value": 1, "source": "c.yaml"} in json.loads(
        dynamo(*command, "-o", "json", folder=project).stdout
    )
    assert dynamo("list", "-o", "name", folder=project).stdout == ""


def test_the_order_of_keys_is_kept_for_arguments(project: Path) -> None:
    """`as_args` gives them in the file's order; another order is another version, the order of services is none."""
    texts = (
        "Backend: {z: 1, a: 2}\nFrontend: {x: 1}\n",
        "Frontend: {x: 1}\nBackend: {z: 1, a: 2}\n",
        "Backend: {a: 2, z: 1}\n",
    )
    tags = []
    for text in texts:
        (project / "c.yaml").write_text(text)
        done = dynamo(
            "build", "hello:Frontend", "-f", "c.yaml", "-o", "json", folder=project, DYNAMO_BUILD_EXCLUDE="c.yaml"
        )
        assert done.returncode == 0, done.stderr
        bento = json.loads(done.stdout)
        tags.append(bento["manifest"]["version"])
        config = json.loads(Path(bento["folder"], "config/config.json").read_bytes())
        assert list(config["Backend"]) == (["a", "z"] if text == texts[2] else ["z", "a"])
    assert tags[0] == tags[1] != tags[2]


def test_code_that_the_graph_does_not_lead_to_imports_only_what_is_there(project: Path) -> None:
    """The first build, which locks, warns too; with `--strict` it fails, and the line that the hint names mends it."""
    (project / "tests").mkdir()
    for name in ("a", "b"):
        (project / "tests" / f"test_{name}.py").write_text("import json\nimport pytest\nfrom hello import Backend\n")
    done = dynamo("build", "hello:Frontend", "-o", "name", folder=project)
    assert done.returncode == 0
    assert "tests/test_a.py:2: `pytest` is imported here and in 1 more file, but no requirement" in done.stderr
    done = dynamo("build", "hello:Frontend", "--strict", folder=project)
    assert done.returncode == 10
    assert "tests/test_a.py:2: error: `pytest` is imported here and in 1 more file, but no requirement" in done.stderr
    assert "add `/tests/` to .bentoignore" in done.stderr
    (project / ".bentoignore").write_text("/tests/\n")
    assert dynamo("build", "hello:Frontend", "--strict", folder=project).returncode == 0


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed_go_nowhere(project: Path, closed: str) -> None:
    """No file that is opened comes in their place."""
    command = f'exec "$0" -m dynamo_build build hello:Frontend {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable], cwd=project, capture_output=True, timeout=60)
    assert (done.returncode, b"error" in done.stderr) == (0, False)
    assert dynamo("list", "-o", "name", folder=project).stdout.startswith("frontend:")
