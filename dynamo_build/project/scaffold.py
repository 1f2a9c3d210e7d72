"""New projects from templates, for `dynamo init`."""

from __future__ import annotations

import contextlib
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dynamo_build.errors import UsageError
from dynamo_build.system import signals
from dynamo_build.system.templating import render, templates_folder

_PACKAGES = {"llm": ("jinja2>=3.1", "tokenizers>=0.20")}
_SHARED = {"README.md": "README.md.j2", "pyproject.toml": "pyproject.toml.j2", ".gitignore": "gitignore.j2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a template is rendered with: the distribution's name, the graph's module, the title of the README, and the
    packages that the graph needs.
    """

    name: str
    module: str
    title: str
    packages: tuple[str, ...] = ()


def templates() -> tuple[str, ...]:
    """The names of the templates that are there."""
    folder = templates_folder() / "project"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


def scaffold(folder: Path, template: str, name: str = "") -> tuple[Path, ...]:
    """Write a project into a folder and give its files. All or nothing: no file that is there is touched.

    Raises UsageError for an unknown template, a name no module can have, or files in the way.
    """
    if template not in templates():
        raise UsageError(f"there is no template `{template}`", [f"There are {', '.join(templates())}."])
    project = _named(name or folder.resolve().name)
    texts = _texts(project, template)
    taken = [path for path in texts if (folder / path).exists() or (folder / path).is_symlink()]
    if taken:
        raise UsageError(
            f"{', '.join(taken)} of {folder} would be overwritten", ["Choose an empty folder, or move them away."]
        )
    try:
        with signals.undivided():
            _write(folder, texts)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
    return tuple(folder / path for path in texts)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """All of them, or, when it fails, none."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    begun: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with (folder / path).open("x", encoding="utf-8") as stream:
                begun.append(folder / path)
                stream.write(text)
    except BaseException:
        for file in begun:
            file.unlink(missing_ok=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _named(text: str) -> Project:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    module = "_".join(words).lower()
    taken = module in sys.stdlib_module_names or module in ("dynamo", "dynamo_build") or keyword.iskeyword(module)
    if not module or not module[0].isalpha() or not text.isascii() or taken:
        raise UsageError(f"`{text}` cannot be the name of a module", ["Give another with --name, such as my_graph."])
    return Project(name=module.replace("_", "-"), module=module, title=" ".join(words).capitalize())


def _texts(project: Project, template: str) -> Mapping[str, str]:
    own = templates_folder() / "project" / template
    project = replace(project, packages=_PACKAGES.get(template, ()))
    texts = {path: render(f"project/{name}", project=project) for path, name in _SHARED.items()}
    for file in sorted(own.glob("*.j2")):
        path = file.name.removesuffix(".j2")
        path = f"{project.module}.py" if path == "graph.py" else path
        texts[path] = render(f"project/{template}/{file.name}", project=project)
    return texts
