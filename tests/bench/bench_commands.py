"""What a command costs before it does anything, and what a build of hello world costs, beside the peers."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from measure import Cost, interleaved
from peers import environment_of

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
PYTHON = sys.executable

BENTOML = """
import bentoml
from pydantic import BaseModel

class RequestType(BaseModel):
    text: str

@bentoml.service
class Backend:
    @bentoml.api
    def generate(self, text: str) -> str:
        return text + "-back"

@bentoml.service
class Frontend:
    backend = bentoml.depends(Backend)

    @bentoml.api
    def generate(self, text: str) -> str:
        return self.backend.generate(text)
"""
AI_DYNAMO = """
from pydantic import BaseModel
from dynamo.sdk import api, depends, endpoint, service

class RequestType(BaseModel):
    text: str

@service(dynamo={"enabled": True, "namespace": "inference"})
class Backend:
    @endpoint()
    async def generate(self, req: RequestType):
        yield req.text + "-back"

@service(dynamo={"enabled": True, "namespace": "inference"})
class Frontend:
    backend = depends(Backend)

    @api()
    async def generate(self, request: RequestType):
        async for response in self.backend.generate(request.model_dump_json()):
            yield response
"""


def main() -> None:
    """Measure and write the tables to the path given."""
    with tempfile.TemporaryDirectory() as scratch:
        tables = [help_table(Path(scratch)), build_table(Path(scratch))]
    Path(sys.argv[1]).write_text(json.dumps(tables))


def help_table(scratch: Path) -> dict[str, object]:
    """`--help` of ours and of the peers, over two floors."""
    environment = {**os.environ, "DYNAMO_HOME": str(scratch / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    commands = {
        "floor: `python -c pass`": ([PYTHON, "-c", "pass"], scratch, environment),
        "floor: `import typer`": ([PYTHON, "-c", "import typer"], scratch, environment),
        "`dynamo --help`": ([PYTHON, "-m", "dynamo_build", "--help"], scratch, environment),
    }
    for peer, arguments in (
        ("bentoml", ["bentoml", "--help"]),
        ("ai-dynamo", ["dynamo", "--help"]),
        ("truss", ["truss", "--help"]),
    ):
        folder = environment_of(peer)
        if folder:
            commands[f"{peer} `--help`"] = ([str(folder / arguments[0]), *arguments[1:]], scratch, environment)
    return table(
        "Command line: `--help`", "`dynamo --help`", interleaved(commands, ROUNDS), ["Goal: at most 0.15 s CPU."]
    )


def build_table(scratch: Path) -> dict[str, object]:
    """A build of hello world with its lock present, of ours and of the peers, over the floors."""
    project = scratch / "hello_world"
    shutil.copytree(ROOT / "examples" / "hello_world", project)
    environment = {
        **os.environ,
        "DYNAMO_HOME": str(scratch / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(scratch / "bentoml"),
    }
    commands = {
        "floor: Python, typer, a child with pydantic models": (
            [
                PYTHON,
                "-c",
                "import typer, subprocess, sys; subprocess.run([sys.executable, '-c', "
                "'from pydantic import BaseModel\\nclass A(BaseModel):\\n    text: str'], check=True)",
            ],
            scratch,
            environment,
        ),
        "`dynamo build`, nothing changed": (
            [PYTHON, "-m", "dynamo_build", "build", "hello_world:Frontend"],
            project,
            environment,
        ),
        "`dynamo build`, new bento": (
            ["sh", "-c", f'echo "# $$" >> notes.txt && exec {PYTHON} -m dynamo_build build hello_world:Frontend'],
            project,
            environment,
        ),
    }
    bentoml = environment_of("bentoml")
    if bentoml:
        folder = scratch / "peer_bentoml"
        folder.mkdir()
        (folder / "service.py").write_text(BENTOML)
        (folder / "bentofile.yaml").write_text("service: service:Frontend\npython:\n  lock_packages: false\n")
        commands["bentoml `build` (writes no lock)"] = ([str(bentoml / "bentoml"), "build"], folder, environment)
    anchor = environment_of("ai-dynamo")
    if anchor:
        folder = scratch / "peer_dynamo"
        folder.mkdir()
        (folder / "hello_world.py").write_text(AI_DYNAMO)
        commands["ai-dynamo `build` (no lock, no digests)"] = (
            [str(anchor / "dynamo"), "build", "hello_world:Frontend"],
            folder,
            environment,
        )
    notes = ["Goal: at most 0.55 s CPU, 1.3 times less than bentoml's and 1.7 times less than ai-dynamo's."]
    return table("`build` of hello world", "`dynamo build`, new bento", interleaved(commands, ROUNDS), notes)


def table(title: str, ours: str, costs: dict[str, Cost], notes: list[str]) -> dict[str, object]:
    """Rows with the ratio of CPU to ours."""
    rows = [
        [
            name,
            f"{cost.cpu:.3f} s",
            f"{cost.wall:.3f} s",
            f"{cost.memory >> 20} MiB",
            f"{cost.cpu / costs[ours].cpu:.2f}×",
        ]
        for name, cost in costs.items()
    ]
    return {
        "title": title,
        "columns": ["command", "CPU", "wall", "peak memory", "CPU against ours"],
        "rows": rows,
        "notes": notes,
    }


if __name__ == "__main__":
    main()
