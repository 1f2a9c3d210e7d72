"""The documents of the project: their code blocks and links, and running a page's blocks as a reader does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Block(NamedTuple):
    """A fenced block: where it begins, its language and text."""

    file: Path
    line: int
    language: str
    text: str


def documents() -> list[Path]:
    """Every Markdown file that a reader of the project meets."""
    found = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "runtime/README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        ROOT / "templates/README.md",
    ]
    return sorted(path for path in found if ".demo" not in path.parts)


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = path.read_text().splitlines()
    start, language, held = 0, "", []
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if start:
                yield Block(path, start, language, "\n".join(held) + "\n")
                start, held = 0, []
            else:
                start, language = number, line[3:].strip()
        elif start:
            held.append(line)


def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    outside = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
    titles = re.findall(r"(?m)^#+ (.*)$", outside)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(path: Path) -> Iterator[str]:
    """The targets of a page's links."""
    text = re.sub(r"(?ms)^```.*?^```|`[^`]*`", "", path.read_text())
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def run(page: Path, folder: Path, environment: Mapping[str, str], port: int, user: int | None = None) -> list[str]:
    """Run the bash blocks of a page in one shell, and give what each said.

    A block that begins with `dynamo serve` runs in the background while the next one runs, as in two terminals.
    """
    said = []
    state = folder.parent / "state"
    serving: subprocess.Popen[bytes] | None = None
    for block in blocks(page):
        if block.language != "bash":
            continue
        before = f'if [ -e "{state}" ]; then . "{state}"; fi\nset -e\n'
        after = f'\n{{ export -p; printf "cd %q\\n" "$PWD"; declare -p checkout digest 2>/dev/null || true; }} > "{state}"\n'
        text = block.text.replace("localhost:8000", f"localhost:{port}")
        if text.startswith("dynamo serve"):
            script = before + "exec " + text
            serving = subprocess.Popen(
                ["bash", "-c", script],
                cwd=folder,
                env={**environment, "DYNAMO_PORT": str(port)},
                start_new_session=True,
                user=user,
            )
            _wait(port, serving)
            continue
        done = subprocess.run(
            ["bash", "-c", before + text + after],
            cwd=folder,
            env=dict(environment),
            user=user,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{block.file.name}:{block.line}\n{done.stdout}"
        said.append(done.stdout)
        if serving:
            os.killpg(serving.pid, signal.SIGINT)
            assert serving.wait(20) == 0
            serving = None
    return said


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("nothing serves")
