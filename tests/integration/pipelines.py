"""Runs the steps of a CI system's file as that system does: shells of their own, outputs, environments, artifacts.

What is not written here fails: an action, an expression or a key that this does not know is an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


class Github:
    """A workflow over a checkout. `secrets` and `variables` are the repository's settings."""

    def __init__(self, project: Path, file: Path, secrets: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.project = project
        self.workflow = yaml.safe_load(file.read_text())
        self.secrets, self.variables = secrets, variables
        self.outputs: dict[str, dict[str, str]] = {}
        self.log: list[str] = []

    def run(self, job: str, workspace: Path, environment: Mapping[str, str], event: Mapping[str, str]) -> None:
        """Run a job in an empty workspace; AssertionError with the log of the step that fails."""
        spec = self.workflow["jobs"][job]
        needs = {name: self.outputs[name] for name in spec.get("needs", [])}
        steps: dict[str, dict[str, str]] = {}
        added: dict[str, str] = {}
        workspace.mkdir()

        def value(text: object) -> str:
            return _EXPRESSION.sub(
                lambda found: self._value(found[1].strip(), workspace, steps, needs, event), str(text)
            )

        shared = {name: value(text) for name, text in self.workflow.get("env", {}).items()}
        for number, step in enumerate(spec["steps"]):
            if action := step.get("uses"):
                self._action(action, workspace)
                continue
            files = {name: workspace.parent / f"{workspace.name}-{number}-{name}" for name in ("OUTPUT", "ENV")}
            for path in files.values():
                path.touch()
            own = {name: value(text) for name, text in step.get("env", {}).items()}
            around = {**environment, **shared, **added, **own}
            around |= {f"GITHUB_{name}": str(path) for name, path in files.items()}
            self.log.append(
                shell(["bash", "-e", "-c", value(step["run"])], workspace, around, f"{job}: {step['name']}")
            )
            added |= _pairs(files["ENV"])
            if "id" in step:
                steps[step["id"]] = _pairs(files["OUTPUT"])
        self.outputs[job] = {name: value(text) for name, text in spec.get("outputs", {}).items()}

    def _value(
        self,
        expression: str,
        workspace: Path,
        steps: Mapping[str, Mapping[str, str]],
        needs: Mapping[str, Mapping[str, str]],
        event: Mapping[str, str],
    ) -> str:
        for part in expression.split(" || "):
            if found := self._named(part.strip(), workspace, steps, needs, event):
                return found
        return ""

    def _named(self, name: str, workspace: Path, steps: Any, needs: Any, event: Mapping[str, str]) -> str:
        if literal := re.fullmatch(r"'([^']*)'", name):
            return literal[1]
        words = name.split(".")
        known: dict[str, Callable[[], str]] = {
            "github": lambda: {**event, "workspace": str(workspace)}[name.partition(".")[2]],
            "secrets": lambda: self.secrets.get(words[1], ""),
            "vars": lambda: self.variables.get(words[1], ""),
            "steps": lambda: steps[words[1]][words[3]],
            "needs": lambda: needs[words[1]][words[3]],
        }
        return known[words[0]]()

    def _action(self, action: str, workspace: Path) -> None:
        name = action.partition("@")[0]
        assert name in {"actions/checkout", "actions/setup-python", "actions/cache"}, action
        if name == "actions/checkout":
            shutil.copytree(self.project, workspace, dirs_exist_ok=True)


class Gitlab:
    """A pipeline over a checkout; variables of the project and what GitLab sets itself."""

    def __init__(self, project: Path, file: Path, variables: Mapping[str, str]) -> None:
        self.project = project
        self.pipeline = yaml.safe_load(file.read_text())
        self.variables = variables
        self.artifacts: dict[str, bytes] = {}
        self.reported: dict[str, str] = {}
        self.log: list[str] = []

    def run(self, job: str, workspace: Path, environment: Mapping[str, str]) -> None:
        """Run a job in a fresh checkout, with the artifacts of those before; AssertionError when it fails."""
        spec = self.pipeline[job]
        shutil.copytree(self.project, workspace)
        for name, content in self.artifacts.items():
            (workspace / name).write_bytes(content)
        around = {**environment, "CI_PROJECT_DIR": str(workspace), **self.variables}
        for settings in (self.pipeline["variables"], spec.get("variables", {})):
            around |= {name: re.sub(r"\$(\w+)", lambda m: around[m[1]], text) for name, text in settings.items()}
        around |= self.reported
        script = "\n".join([*self.pipeline["default"]["before_script"], *spec["script"]])
        self.log.append(shell(["bash", "-eo", "pipefail", "-c", script], workspace, around, job))
        kept = spec.get("artifacts", {})
        self.artifacts |= {name: (workspace / name).read_bytes() for name in kept.get("paths", [])}
        if report := kept.get("reports", {}).get("dotenv"):
            self.reported |= _pairs(workspace / report)


def shell(command: list[str], folder: Path, environment: Mapping[str, str], what: str) -> str:
    """What a step said; AssertionError when it fails."""
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{what} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def _pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line)
