"""The example of every command's help is run as it stands there, with a registry on loopback in the documents' place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from dynamo_build.cli.app import COMMANDS, app
from support import registry
from support.hello import ROOT, base_made
from support.serving import BIN

#: What needs more than a folder and a registry, and which tests run it.
ELSEWHERE = {
    **dict.fromkeys(("serve", "http", "status", "logs", "restart", "dashboard"), "a running graph: test_serve_running"),
    **dict.fromkeys(("deployment", "resolve"), "a cluster: tests/k8s_contract, test_resolve"),
    "login": "a password: test_login",
    "logout": "a login: test_login",
}
#: Run first, since the others are about what these make.
FIRST = ("build", "containerize", "image sign")
#: Run last, since they remove what the others need.
LAST = ("delete",)


def examples() -> dict[str, str]:
    """The line of each command's help."""
    found = {}
    group = typer.main.get_command(app)
    for name in COMMANDS:
        command = group.get_command(None, name)
        inner = getattr(command, "commands", {})
        for words, each in {name: command, **{f"{name} {key}": value for key, value in inner.items()}}.items():
            text = " ".join(f"{each.help or ''}\n{each.epilog or ''}".split())
            found[words] = text.partition("Example: ")[2].replace("\b", "").strip()
    return found


EXAMPLES = examples()
ORDER = [*FIRST, *(each for each in EXAMPLES if each not in (*FIRST, *LAST)), *LAST]


class Desk:
    """The example's folder, a shell in it, and a registry with the images that the examples name."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder / "hello_world", host
        shutil.copytree(ROOT / "examples/hello_world", self.folder)
        self.around = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DYNAMO")},
            "DYNAMO_HOME": str(folder / "home"),
            "DOCKER_CONFIG": str(folder),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "DYNAMO_IMAGE": f"{host}/base:1",
        }
        (self.folder / ".bentoignore").write_text("*.pem\nkey.pub\n")
        base = base_made(folder / "base")
        for name in ("base:1", "cuda:2"):
            assert self.type(f"dynamo image copy {base} registry.example/{name}").returncode == 0

    def type(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line, in bash."""
        known = self.folder.parent / "home/bentos/frontend/latest"
        line = line.replace("registry.example", self.host).replace("dynamo ", "python -m dynamo_build ")
        line = line.replace("kq2xw5mplz7rbn4t", known.read_text().strip() if known.exists() else "")
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], cwd=self.folder, env=self.around, capture_output=True, text=True
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with registry.running() as (host, _):
        made = Desk(tmp_path_factory.mktemp("examples"), host)
        done = made.type(EXAMPLES["build"]), made.type(EXAMPLES["containerize"])
        assert [each.returncode for each in done] == [0, 0], done
        make = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
        for line in (
            f"{make} && openssl pkey -in key.pem -pubout -out key.pub",
            "dynamo image copy registry.example/team/frontend:1 registry.example/team/frontend:2",
            "dynamo image copy registry.example/team/frontend:1 registry.example/app:1",
            "dynamo push frontend registry.example/bentos/frontend",
            "dynamo export frontend frontend.bento",
            EXAMPLES["image sign"],
        ):
            assert made.type(line).returncode == 0, line
        (made.folder / "frontend.bento").unlink()
        yield made


@pytest.mark.parametrize("name", ORDER)
def test_example(desk: Desk, name: str) -> None:
    """It ends well, and says nothing of a traceback."""
    line = EXAMPLES[name]
    assert line, f"`dynamo {name} --help` has no example"
    if name.split()[0] in ELSEWHERE:
        assert re.search(rf"dynamo {name.split()[0]}\b", line)
        return
    if name == "import":
        assert desk.type("dynamo export frontend frontend.bento --force").returncode in (0, 2)
    shutil.rmtree(desk.folder / ".github", ignore_errors=True)  # what `ci init` wrote is not overwritten
    done = desk.type(line)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
