"""Requirements of a project: pyproject.toml, requirements.txt, PEP 723 blocks, the settings, the runtime.

Sources: PEP 508 (lines), PEP 621 (`[project.dependencies]`), PEP 723 (inline metadata), the requirements file format
of pip. Index addresses are not read: which index answers is the environment's business, and never recorded.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk import compatible
from dynamo.sdk.compatible import decorates
from dynamo.sdk.graph import Position, Problem
from dynamo_build.model.plan import BuildOptions, LocalPackage, Requirements
from dynamo_build.packages import lockfile, runtime_wheel
from dynamo_build.packages.local import local_package, local_path
from dynamo_build.project.settings import read_toml

_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
# `packaging.requirements` reads the same lines, and takes 10 to 16 ms to import and use: 3 to 5 % of a small build.
_CLAUSE = r"(?:===?|~=|!=|<=?|>=?)\s*[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
_SPECIFIER = rf"{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?"
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?:\[\s*(?:[A-Za-z0-9._-]+(?:\s*,\s*[A-Za-z0-9._-]+)*)?\s*\]\s*)?"
    rf"(?:@\s*(?P<url>\S+)|{_SPECIFIER}|\(\s*{_SPECIFIER}\s*\))?\s*(?:;\s*(?P<marker>\S.*))?",
    re.DOTALL,
)
_SECRET = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_INDEX = (
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--trusted-host",
    "--no-index",
    "--pre",
    "--prefer-binary",
)
_OURS = frozenset({"dynamo-runtime", "dynamo-build"})
_DEFAULT_PYTHON = "3.11"


def collect_requirements(
    project: Path, modules: Iterable[str], options: BuildOptions
) -> tuple[Requirements, list[Problem], list[Problem]]:
    """The requirements of a project, with problems and warnings. Raises UsageError for invalid TOML."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    lines: dict[str, None] = {}
    sources = []
    local: dict[str, LocalPackage] = {}
    modules = tuple(modules)
    not_locked = _OURS | compatible.find_used(project, modules)
    for source, where, line in _collect_lines(project, modules, options, problems, warnings):
        if path := local_path(line):
            found = local_package(project, path)
            if isinstance(found, str):
                hint = "Name a wheel, or a folder with a pyproject.toml that says `name`."
                problems.append(Problem(where=where, message=f"`{line}`: {found}", hint=hint))
            else:
                local[found.name] = found
                sources.append(source)
            continue
        match = _LINE.fullmatch(line)
        name = lockfile.normalize_name(match["name"]) if match else ""
        shown = _SECRET.sub("", line)
        if match is None:
            hint = "Write `name`, `name>=1.2` or `name @ git+https://…` (PEP 508)."
            problems.append(Problem(where=where, message=f"invalid requirement `{shown}`", hint=hint))
        elif shown != line:
            hint = "Take the password out: git asks its credential helper."
            problems.append(Problem(where=where, message=f"`{shown}` holds a password in its address", hint=hint))
        elif name == "ai-dynamo":
            hint = "Remove it: its `dynamo` package is another one, and the bento brings ours."
            problems.append(Problem(where=where, message="`ai-dynamo` cannot be packed", hint=hint))
        elif name not in not_locked:
            lines[" ".join(line.split())] = None
            sources.append(source)
    lines.update(dict.fromkeys(runtime_wheel.list_runtime_requirements()))
    wanted = Requirements(
        lines=tuple(sorted(lines)),
        constraints=_merge_constraints(_read_constraints(project, problems), options.base_packages),
        sources=tuple(dict.fromkeys(sources)),
        lock=lockfile.NAME if (project / lockfile.NAME).is_file() else "",
        base=options.base,
        local=tuple(local[name] for name in sorted(local)),
        python=_choose_python(project, options, problems),
        platforms=options.platforms,
    )
    return wanted, problems, warnings


def _collect_lines(
    project: Path, modules: Iterable[str], options: BuildOptions, problems: list[Problem], warnings: list[Problem]
) -> Iterator[tuple[str, Position, str]]:
    table = read_toml(project / "pyproject.toml").get("project", {})
    table = table if isinstance(table, dict) else {}
    for line in _read_dependencies(table, "pyproject.toml", problems):
        yield "pyproject.toml", Position(file="pyproject.toml"), line
    dynamic = table.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic and not (project / "requirements.txt").is_file():
        message = "`dependencies` is dynamic, and the build backend is not run to compute them"
        hint = "List them in `dependencies`, or in requirements.txt."
        warnings.append(Problem(where=Position(file="pyproject.toml"), message=message, hint=hint))
    if (project / "requirements.txt").is_file():
        yield from _read_requirements_file(project, "requirements.txt", problems, warnings, ())
    for module in dict.fromkeys(modules):
        yield from _read_script_block(project, module, problems)
        for line in read_image_packages(project, module):
            if line.startswith("-r "):
                yield from _read_requirements_file(project, line[3:], problems, warnings, ())
            else:
                yield module, Position(file=module), line
    for line in options.requirements:
        if line.startswith("-r "):
            yield from _read_requirements_file(project, line[3:].strip(), problems, warnings, ())
        else:
            yield "settings", Position(file="settings"), line


def _read_requirements_file(
    project: Path, name: str, problems: list[Problem], warnings: list[Problem], outer: tuple[str, ...]
) -> Iterator[tuple[str, Position, str]]:
    try:
        text = (project / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
        message = f"it cannot be read: {reason}"
        problems.append(Problem(where=Position(file=name), message=message, hint="Repair it, or do not name it."))
        return
    for number, line in lockfile.join_lines(text):
        where = Position(file=name, line=number)
        line = re.sub(r"\s+#.*$", "", re.sub(r"\s--hash=\S+", "", line)).strip()
        word, _, rest = line.replace("=", " ", 1).partition(" ") if line.startswith("--") else line.partition(" ")
        if word in ("-r", "--requirement"):
            if rest.strip() not in (*outer, name):
                yield from _read_requirements_file(project, rest.strip(), problems, warnings, (*outer, name))
        elif word in _INDEX:
            text = f"`{word}` is not read: uv takes its indexes from its own settings"
            warnings.append(
                Problem(where=where, message=text, hint="Set UV_DEFAULT_INDEX or UV_INDEX, or `[tool.uv]`.")
            )
        elif word in ("-e", "--editable") and local_path(rest.strip()) not in ("", ".", "./"):
            yield name, where, rest.strip()
        elif line.startswith("-"):
            hint = "List packages by name, and put code of your own into the project."
            problems.append(Problem(where=where, message=f"`{word}` cannot be locked", hint=hint))
        elif line:
            yield name, where, line


def _read_script_block(project: Path, module: str, problems: list[Problem]) -> Iterator[tuple[str, Position, str]]:
    try:
        text = (project / module).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if "# /// script" not in text:
        return
    match = _BLOCK.search(text)
    try:
        content = (
            "".join(line[2:] if line.startswith("# ") else line[1:] for line in match["content"].splitlines(True))
            if match
            else ""
        )
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        message = f"the `# /// script` block is not TOML: {error}"
        problems.append(Problem(where=Position(file=module), message=message, hint="Repair it: see PEP 723."))
        return
    for line in _read_dependencies(table, module, problems):
        yield module, Position(file=module), line


def _read_dependencies(table: Mapping[str, Any], file: str, problems: list[Problem]) -> list[str]:
    values = table.get("dependencies", [])
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    message = "`dependencies` is not a list of strings"
    problems.append(Problem(where=Position(file=file), message=message, hint='Write `dependencies = ["name>=1.2"]`.'))
    return []


def _read_constraints(project: Path, problems: list[Problem]) -> tuple[str, ...]:
    """Exact versions of an existing uv.lock or pylock.toml; a name with several versions is left to uv."""
    for name, key in (("uv.lock", "package"), ("pylock.toml", "packages")):
        if not (project / name).is_file():
            continue
        versions: dict[str, set[str]] = {}
        packages = read_toml(project / name).get(key, [])
        for package in packages if isinstance(packages, list) else []:
            source = package.get("source", {})
            local = isinstance(source, Mapping) and bool(
                source.keys() & {"virtual", "editable", "directory", "path", "git"}
            )
            if isinstance(package.get("version"), str) and not local:
                versions.setdefault(lockfile.normalize_name(str(package.get("name", ""))), set()).add(
                    package["version"]
                )
        return tuple(f"{name}=={next(iter(found))}" for name, found in sorted(versions.items()) if len(found) == 1)
    return ()


def _merge_constraints(theirs: Iterable[str], base: Iterable[str]) -> tuple[str, ...]:
    """The versions of another lock, under those that the base has."""
    exact = {line.partition("==")[0]: line for line in (*theirs, *base)}
    return tuple(exact[name] for name in sorted(exact))


def _choose_python(project: Path, options: BuildOptions, problems: list[Problem]) -> str:
    where, text = "settings", options.python
    if not text:
        where = ".python-version"
        try:
            text = (project / where).read_text(encoding="utf-8").split("\n")[0].strip()
        except (OSError, UnicodeDecodeError):
            return _DEFAULT_PYTHON
    match = re.fullmatch(r"(?:cpython-?|python-?)?(3\.\d{1,2})(?:\.\d+)?", text)
    if match is None or int(match[1][2:]) < 11:
        problems.append(
            Problem(
                where=Position(file=where),
                message=f"unsupported Python version `{text}`",
                hint="Use 3.11 or later.",
            )
        )
        return _DEFAULT_PYTHON
    return match[1]


def read_image_packages(project: Path, file: str) -> tuple[str, ...]:
    """Requirements that a module of a BentoML project names in code, `Image().python_packages(…)`.

    Gives lines of requirements, `-r FILE` among them, read from the module's text; arguments that are not literals are
    skipped. Source: BentoML 1.4, "Define the runtime environment".
    """
    try:
        text = (project / file).read_bytes()
    except OSError:
        return ()
    if b"Image(" not in text or "bentoml" not in decorates(text):
        return ()
    return tuple(line for node in ast.walk(ast.parse(text)) for line in _list_image_lines(node))


def _list_image_lines(node: ast.AST) -> Iterator[str]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    words = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    if node.func.attr == "python_packages":
        yield from words
    elif node.func.attr == "requirements_file":
        yield from (f"-r {word}" for word in words)
