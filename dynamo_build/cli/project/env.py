"""`dynamo env`: versions and settings, for bug reports."""

from __future__ import annotations

import os
from pathlib import Path

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def env(output: OutputForm = "text") -> None:
    """Show versions, and the effective settings with their sources.

    Credentials are hidden, those in addresses included.

    Example: dynamo env -o json
    """
    from dynamo_build.pipeline.doctor import describe_environment
    from dynamo_build.project import settings

    checked_output(output)
    report = describe_environment(settings.load(Path.cwd(), os.environ, {}), os.environ)
    lines = [f"{name:<14} {version or 'not installed'}" for name, version in report.versions.items()]
    lines += ["", f"{'home':<14} {report.home}"]
    lines += [f"{name} = {item['value']!r}  ({item['source']})" for name, item in report.settings.items()]
    console.emit(report, output, text="\n".join(lines), name=report.home)
