"""Plans of bentos, made before anything is written; all problems of a project are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk.graph import Position, Problem, ServiceGraph
from dynamo_build.bento.secret_scan import digest_rules, scan_secrets
from dynamo_build.bento.stat_cache import Stamps
from dynamo_build.errors import GraphError, UsageError, count_problems
from dynamo_build.model.plan import BuildOptions, BuildPlan, PlannedFile
from dynamo_build.model.reference import BentoTag
from dynamo_build.packages.requirements import collect_requirements
from dynamo_build.project.files import survey_files
from dynamo_build.project.ignore import PatternError, compile_pattern


def plan_bento(
    graph: ServiceGraph,
    modules: Iterable[str],
    project: Path,
    options: BuildOptions,
    config: Mapping[str, Any] | None = None,
    *,
    stamps: Stamps | None = None,
) -> BuildPlan:
    """The plan of a bento. `modules` are the project's own files that the graph was imported from. Files that `stamps`
    know are neither read nor looked through for secrets again.

    Raises GraphError with every problem of the project, UsageError for a name or a setting.
    """
    tag = _resolve_tag(graph, options)
    _check_patterns(options)
    try:
        found = survey_files(
            str(project),
            include=options.include,
            exclude=options.exclude,
            without=options.without,
            known=stamps.find_digest if stamps is not None else None,
        )
    except OSError as error:
        raise UsageError(f"`{project}` cannot be read: {(error.strerror or str(error)).lower()}") from error
    own = tuple(sorted({*modules, *(service.position.file for service in graph.services if service.position.file)}))
    wanted, unlockable, warnings = collect_requirements(project, own, options)
    problems = [
        *found.problems,
        *_find_unpacked_modules(own, found.files, {problem.where.file for problem in found.problems}),
        *scan_secrets(
            project, found.files, options.allow_secrets, stamps.ruling.partition(" ")[0] if stamps is not None else ""
        ),
        *unlockable,
        *_check_budget(found.files, options.budget),
    ]
    if options.strict:
        problems += warnings
    if problems:
        raise GraphError(f"the project cannot be packed: {count_problems(problems)}", problems=problems)
    return BuildPlan(
        project=str(project),
        name=tag.name,
        version=tag.version,
        graph=graph,
        files=found.files,
        requirements=wanted,
        config=config or {},
        base=options.base,
        system_packages=options.system_packages,
        setup_commands=options.setup_commands,
        dockerfile_template=_read_template(project, options.dockerfile_template),
        labels={name: options.labels[name] for name in sorted(options.labels)},
        ruling=digest_rules(options.allow_secrets),
        warnings=(*warnings, *_find_large_files(found.files, options.warn_size)),
    )


def _check_patterns(options: BuildOptions) -> None:
    for name in ("include", "exclude", "allow_secrets"):
        try:
            if patterns := getattr(options, name):
                compile_pattern(patterns)
        except PatternError as error:
            raise UsageError(
                f"`{name}` contains the invalid pattern `{error.pattern}`", ["See gitignore(5)."]
            ) from error


def _read_template(project: Path, name: str) -> str:
    """The text of the project's own template. Raises UsageError."""
    if not name:
        return ""
    path = (project / name).resolve()
    try:
        if not path.is_relative_to(project.resolve()):
            raise UsageError(f"the Dockerfile template `{name}` is not in the project", ["Move it into the project."])
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not UTF-8"
        raise UsageError(f"the Dockerfile template `{name}` cannot be read: {reason.lower()}") from error


def _resolve_tag(graph: ServiceGraph, options: BuildOptions) -> BentoTag:
    """Name and version as given, the name by default that of the entry service in lower case."""
    name = options.name or re.sub(r"[^a-z0-9_.-]", "-", graph.entry.lower()).strip("-_.")
    tag = BentoTag.parse(f"{name}:{options.version}" if options.version else name)
    if options.version == "latest":
        raise UsageError("`latest` is not a version", ["It is what the last build of a name is called anyway."])
    return tag


def _find_unpacked_modules(own: Iterable[str], files: Iterable[PlannedFile], reported: set[str]) -> list[Problem]:
    own = frozenset(own)
    packed = {file.path for file in files if file.path in own}
    problems = []
    for module in sorted(own):
        if module in packed or module in reported:
            continue
        inside = not (module.startswith("/") or ".." in module.split("/"))
        message = (
            "the graph imports it, and it is not packed" if inside else "the graph imports it from outside the project"
        )
        hint = "Take it out of the ignore files and `exclude`." if inside else "Move it into the project folder."
        problems.append(Problem(where=Position(file=module), message=message, hint=hint))
    return problems


def _check_budget(files: Iterable[PlannedFile], budget: int) -> list[Problem]:
    total = sum(file.size for file in files)
    if not budget or total <= budget:
        return []
    message = f"{total} bytes would be packed, and the budget is {budget}"
    return [
        Problem(
            message=message, hint="`dynamo build --dry-run` shows the largest files; ignore some, or raise `budget`."
        )
    ]


def _find_large_files(files: Iterable[PlannedFile], least: int) -> list[Problem]:
    hint = "Weights are better fetched when the worker starts; `.bentoignore` leaves it out."
    return [
        Problem(where=Position(file=file.path), message=f"it is large ({file.size >> 20} MiB)", hint=hint)
        for file in files
        if least and file.size > least
    ]
