"""Dockerfiles: the same text for the same plan, good by the usual rules, and no value that becomes an instruction."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build.builders.dockerfile import context_path, render_dockerfile
from dynamo_build.errors import UsageError
from dynamo_build.model.image import (
    CONFIGURATION,
    SOURCE,
    BuildSecret,
    FilesLayer,
    ImagePlan,
    PackagesLayer,
    PlannedLayer,
    SetupCommand,
    SystemPackages,
    WheelLayer,
)
from dynamo_build.model.reference import ImageReference

GOLDEN = Path(__file__).parents[3] / "golden" / "dockerfile"
PACKAGES = PackagesLayer(packages=(), requirements="a==1\n", python="3.11", platform="linux/amd64")
WHEEL = WheelLayer(wheel="runtime/dynamo_runtime-0.1.0-py3-none-any.whl")
CONFIG = FilesLayer(name="config", folder="config", paths=("graph.json", "config.json"), target=CONFIGURATION)
CODE = FilesLayer(name="code", folder="src", paths=("hello.py",), target=SOURCE)
SYSTEM: tuple[PlannedLayer, ...] = (
    SystemPackages(names=("libsndfile1", "ffmpeg", "libgomp1=12.2.0-14")),
    SetupCommand(command="ldconfig"),
    SetupCommand(command="set -e\nadduser --system worker || true\n"),
)
SECRETS = tuple(BuildSecret(id=name, path=f"/home/me/{name}") for name in ("pip", "netrc", "token"))


def plan(*before: PlannedLayer, layers: tuple[PlannedLayer, ...] | None = None, **changed: Any) -> ImagePlan:
    made = ImagePlan(
        name="hello_world",
        version="abc",
        bento="/bentos/hello_world/abc",
        services=("Backend", "Frontend"),
        base=ImageReference.parse("registry.example/base:1"),
        layers=(*before, PACKAGES, WHEEL, CONFIG, CODE) if layers is None else layers,
        environment={"PYTHONPATH": "/app/src:/app/runtime:/app/packages", "HOME": "/tmp"},
        labels={"dynamo.bento": "hello_world:abc"},
        working_directory=SOURCE,
    )
    return dataclasses.replace(made, **changed)


@pytest.mark.parametrize("buildkit", [False, True])
def test_wheels_of_the_bento_are_found(buildkit: bool) -> None:
    """The folder is there while packages are installed, and in no layer of the image."""
    packages = dataclasses.replace(PACKAGES, wheels=("odd-1.0-py3-none-any.whl",))
    text = render_dockerfile(plan(layers=(packages, WHEEL, CONFIG, CODE)), buildkit=buildkit)
    assert "--requirement /tmp/requirements.txt --find-links /tmp/wheels\n" in text
    assert ("--mount=type=bind,source=env/python/wheels,target=/tmp/wheels" in text) is buildkit
    assert ("\nCOPY env/python/wheels/ /tmp/wheels/\n" in text) is not buildkit
    assert "wheels" not in render_dockerfile(plan(), buildkit=buildkit).replace("python -m pip", "")


PLANS = {
    "hello": (plan(), False),
    "hello.buildkit": (plan(), True),
    "system": (plan(*SYSTEM), False),
    "system.buildkit": (plan(*SYSTEM), True),
    "secrets": (plan(*SYSTEM, secrets=SECRETS), False),
    "secrets.buildkit": (plan(*SYSTEM, secrets=SECRETS), True),
    "arm64": (plan(platform="linux/arm64", command=("Backend",)), False),
    "no-packages": (plan(layers=(WHEEL, CONFIG, CODE), labels={}, ports=()), False),
}


@pytest.mark.parametrize("name", PLANS)
def test_golden(name: str) -> None:
    """The whole text, as reviewed. `BLESS=1` writes it anew."""
    made, buildkit = PLANS[name]
    text = render_dockerfile(made, buildkit=buildkit)
    file = GOLDEN / f"{name}.Dockerfile"
    if os.environ.get("BLESS"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions as an engine reads them: comments out, continued lines joined."""
    kept = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    joined = kept.replace("\\\n", " ")
    found = [line.strip().partition(" ") for line in joined.split("\n") if line.strip()]
    return [(word, rest.strip()) for word, _, rest in found]


RULES = {
    "no frontend has to be pulled": lambda text, steps: not text.lower().lstrip().startswith("# syntax"),
    "the base is the caller's": lambda text, steps: (
        steps[:2] == [("ARG", "BASE_IMAGE"), ("FROM", "${BASE_IMAGE} AS base")]
    ),
    "stages are named": lambda text, steps: all(" AS " in rest for word, rest in steps if word == "FROM"),
    "COPY, never ADD": lambda text, steps: all(word != "ADD" for word, _ in steps),
    "the last user is not root": lambda text, steps: [rest for word, rest in steps if word == "USER"][-1] == "10001:0",
    "one entry point, as a list": lambda text, steps: (
        [isinstance(json.loads(rest), list) for word, rest in steps if word == "ENTRYPOINT"] == [True]
    ),
    "one health check": lambda text, steps: sum(word == "HEALTHCHECK" for word, _ in steps) == 1,
    "folders are absolute": lambda text, steps: all(rest.startswith("/") for word, rest in steps if word == "WORKDIR"),
    "apt asks nothing, takes no extras and leaves no lists": lambda text, steps: all(
        "--yes --no-install-recommends" in rest and "rm -rf /var/lib/apt/lists/*" in rest
        for word, rest in steps
        if word == "RUN" and "apt-get install" in rest
    ),
    "apt-get, never apt": lambda text, steps: not re.search(r"\bapt (install|update)", text),
    "no sudo": lambda text, steps: "sudo " not in text,
    "pip leaves no cache in a layer": lambda text, steps: all(
        "--no-cache-dir" in rest or "--mount=type=cache" in rest
        for word, rest in steps
        if word == "RUN" and "pip install" in rest
    ),
    "pip installs what is locked, or nothing from outside": lambda text, steps: all(
        "--no-deps" in rest and ("--require-hashes" in rest or "--no-index" in rest)
        for word, rest in steps
        if word == "RUN" and "pip install" in rest
    ),
    "no line ends in a space": lambda text, steps: all(line == line.rstrip() for line in text.splitlines()),
    "no more than one empty line, one at the end": lambda text, steps: (
        "\n\n\n" not in text and text.endswith("\n") and not text.endswith("\n\n")
    ),
    "packages before code": lambda text, steps: (
        text.index("COPY --from=packages /app/packages/") < text.index("/app/src/\n")
    ),
    "labels last, so that a version rebuilds nothing": lambda text, steps: all(
        word not in ("COPY", "RUN")
        for word, _ in steps[next((n for n, s in enumerate(steps) if s[0] == "LABEL"), -1) :]
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", PLANS)
def test_rules(rule: str, name: str) -> None:
    """What a linter of Dockerfiles asks for, and what our images rest on."""
    made, buildkit = PLANS[name]
    text = render_dockerfile(made, buildkit=buildkit)
    assert RULES[rule](text, instructions(text)), rule


@pytest.mark.parametrize("name", [name for name in PLANS if "buildkit" not in name and "secrets" not in name])
def test_plain_form_needs_no_buildkit(name: str) -> None:
    """The form that is kept in the bento works with any engine."""
    text = render_dockerfile(PLANS[name][0], buildkit=False)
    assert "--mount" not in text
    assert "<<" not in text
    assert "--link" not in text


def read_back(text: str, instruction: str) -> dict[str, str]:
    """The values of ENV or LABEL as an engine reads them: `\\` takes the next character as it is."""
    found = {}
    for word, rest in instructions(text):
        if word == instruction:
            for name, value in re.findall(r'(\S+?)="((?:\\.|[^"\\])*)"', rest):
                found[name] = re.sub(r"\\(.)", r"\1", value)
    return found


values = st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), max_size=40)


@settings(deadline=None)
@given(value=values)
def test_values_come_through(value: str) -> None:
    """Whatever a variable or label holds is one value: never an instruction, never expanded."""
    text = render_dockerfile(plan(environment={"V": value}, labels={"l": value}), buildkit=False)
    assert [word for word, _ in instructions(text)] == [
        word for word, _ in instructions(render_dockerfile(plan(), buildkit=False))
    ]
    assert read_back(text, "LABEL")["l"] == value
    assert read_back(text, "ENV")["V"] == value
    assert re.search(r"(?<!\\)(?:\\\\)*\$", text.split("LABEL", 1)[1].split("\n", 1)[0]) is None


@settings(deadline=None)
@given(command=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60))
def test_setup_commands_stay_commands(command: str) -> None:
    """A command is one RUN whatever it looks like, and runs as it was written."""
    if not command.strip():
        return
    text = render_dockerfile(plan(SetupCommand(command=command)), buildkit=True)
    start = text.index("USER 0:0\n\nRUN ") + len("USER 0:0\n\nRUN ")
    line = text[start : text.index("\n\nFROM base AS packages")]
    assert "\n" not in line
    if line.startswith('["/bin/sh", "-c", '):
        assert json.loads(line)[2] == command
    else:
        assert line == command.strip()
        assert not line.startswith(("-", "[", "#")) and not line.endswith("\\") and "<<" not in line


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ({"environment": {"A": "x\nRUN id"}}, "line breaks"),
        ({"labels": {"a": "x\nRUN id"}}, "line breaks"),
        ({"environment": {"A B": "x"}}, "is not the name of an environment variable"),
        ({"labels": {'a"b': "x"}}, "is not the name of a label"),
        ({"labels": {"": "x"}}, "is not the name of a label"),
        ({"user": "0\nRUN id"}, "is not a user"),
        ({"working_directory": "/a b"}, "is not a path"),
        ({"layers": (SystemPackages(names=("a; id",)),)}, "is not a Debian package"),
        ({"layers": (SystemPackages(names=("--allow-unauthenticated",)),)}, "is not a Debian package"),
        ({"layers": (SetupCommand(command="  "),)}, "a setup command is empty"),
        ({"layers": (WheelLayer(wheel="/etc/passwd"),)}, "is not in the bento"),
        ({"layers": (WheelLayer(wheel="../x.whl"),)}, "is not in the bento"),
        ({"layers": (FilesLayer(name="c", folder="src", paths=(), target="/app/x y"),)}, "is not a path"),
    ],
)
def test_what_no_dockerfile_can_hold(changed: dict[str, Any], seen: str) -> None:
    """Values that would become instructions, options or other files are refused in one line."""
    with pytest.raises(UsageError, match=seen):
        render_dockerfile(plan(**changed), buildkit=False)


def test_paths_of_the_bento() -> None:
    """Absolute and relative paths name the same place in the context."""
    assert context_path(plan(), "/bentos/hello_world/abc/src") == context_path(plan(), "src") == "src"


def test_the_base_and_the_bento_leave_no_trace() -> None:
    """Neither the base nor the folder of the bento is in the text: it is the same on any machine."""
    assert render_dockerfile(plan(), buildkit=False) == render_dockerfile(
        plan(bento="/elsewhere", base=ImageReference.parse("other/base:2")), buildkit=False
    )


@pytest.mark.parametrize("block", ["base", "system", "packages", "application", "entry"])
def test_blocks_can_be_extended(block: str) -> None:
    """Each named block takes additions of a project's own template."""
    template = (
        f'{{% extends "Dockerfile.j2" %}}{{% block {block} %}}{{{{ super() }}}}RUN echo {block}\n{{% endblock %}}'
    )
    text = render_dockerfile(plan(template=template), buildkit=False)
    assert text.count(f"RUN echo {block}\n") == 1
    assert text.replace(f"RUN echo {block}\n", "") == render_dockerfile(plan(), buildkit=False)


def test_a_wrong_template_is_one_line() -> None:
    """A project's template that names what is not there is told by name."""
    with pytest.raises(UsageError, match="nmae"):
        render_dockerfile(
            plan(template='{% extends "Dockerfile.j2" %}{% block entry %}{{ image.nmae }}{% endblock %}'),
            buildkit=False,
        )


class Live(http.server.BaseHTTPRequestHandler):
    """A worker's health page."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/live" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("system", "front", "healthy"), [(200, 0, True), (503, 200, False), (0, 200, True), (0, 503, False), (0, 0, False)]
)
def test_the_health_check(system: int, front: int, healthy: bool) -> None:
    """The worker's own port decides; where there is none, the entry's; a proxy of the environment is not asked."""
    (step,) = [rest for word, rest in instructions(render_dockerfile(plan(), buildkit=False)) if word == "HEALTHCHECK"]
    command = json.loads(step.partition("CMD ")[2])
    environment = {"http_proxy": "http://127.0.0.1:1", "DYNAMO_SYSTEM_PORT": "1", "DYNAMO_PORT": "1"}
    with contextlib.ExitStack() as stack:
        for name, status in (("DYNAMO_SYSTEM_PORT", system), ("DYNAMO_PORT", front)):
            if status:
                handler = type("Answer", (Live,), {"status": status})
                server = stack.enter_context(http.server.HTTPServer(("127.0.0.1", 0), handler))
                thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
                environment[name] = str(server.server_port)
        done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) is healthy, done.stderr
    assert "Traceback" not in done.stderr
