"""`dynamo env`: versions and settings, for bug reports."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def env(output: OutputForm = "text") -> None:
    """Show versions, and the effective settings with their sources.

    Credentials are hidden, those in addresses included.

    Example: dynamo env -o json
    """
    from dynamo_build.pipeline.doctor import versions
    from dynamo_build.project import settings
    from dynamo_build.seams import default_home

    checked_output(output)
    loaded = settings.load(Path.cwd(), os.environ, {})
    found: dict[str, Any] = {
        "versions": versions(),
        "home": str(default_home()),
        "settings": {
            name: {"value": _without_credentials(value), "source": loaded.sources[name]}
            for name, value in loaded.values.items()
            if loaded.sources[name] != "default"
        },
    }
    lines = [f"{name:<14} {version or 'not installed'}" for name, version in versions().items()]
    lines += ["", f"{'home':<14} {default_home()}"]
    lines += [f"{name} = {item['value']!r}  ({item['source']})" for name, item in found["settings"].items()]
    console.emit(found, output, text="\n".join(lines), name=str(default_home()))


def _without_credentials(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"(://)[^/@\s]*@", r"\1…@", value)
    if isinstance(value, (list, tuple)):
        return [_without_credentials(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_credentials(item) for key, item in value.items()}
    return value
