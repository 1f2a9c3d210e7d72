"""`dynamo doctor`: check this machine's prerequisites."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def doctor(
    online: Annotated[bool, typer.Option("--online", help="Also contact the registry and the cluster.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Fix what can be fixed without asking.")] = False,
    output: OutputForm = "text",
) -> None:
    """Check this machine's prerequisites, and show how to install the missing ones.

    Exit code 15 if a prerequisite that every command needs is broken.

    Example: dynamo doctor --online
    """
    from dynamo_build import catalog
    from dynamo_build.errors import ToolMissing
    from dynamo_build.pipeline.doctor import BROKEN, diagnose, repair
    from dynamo_build.project import settings

    checked_output(output)
    repaired = repair(os.environ) if fix else ()
    for line in repaired:
        console.say(line)
    project = Path.cwd()
    found = diagnose(project, settings.load(project, os.environ, {}), catalog.surroundings(), online=online)
    lines = []
    for finding in found:
        lines.append(f"{finding.state:<8} {finding.name:<14} {finding.seen}")
        if finding.hint:
            lines.append(f"{'':<8} {'':<14} needed for {finding.needed_for}. {finding.hint}")
    bad = [finding.name for finding in found if finding.state == BROKEN]
    console.emit(found, output, text="\n".join(lines), name="\n".join(bad))
    if bad:
        raise ToolMissing(f"broken here: {', '.join(bad)}", ["The lines above say what to do about each."])
