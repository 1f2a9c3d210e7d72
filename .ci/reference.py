"""`make docs`: write docs/reference from the code: commands, settings, the SDK, templates, schemas."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
VALUES = {"dynamo_context": "what the worker knows of itself: its runtime, component, endpoints and instance."}
NOTE = "<!-- Written by `make docs` from the code; a test holds it to the code. -->\n\n"


def main() -> None:
    """Write every page; with `--check` only say which differ, and end with 1."""
    stale = []
    for name, text in sorted(pages().items()):
        path = FOLDER / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    print("\n".join(stale))
    sys.exit(1 if stale and "--check" in sys.argv else 0)


def pages() -> dict[str, str]:
    """Every page by its name."""
    return {
        "commands.md": NOTE + "# Commands\n\n" + "\n".join(commands()),
        "settings.md": NOTE + settings(),
        "sdk-reference.md": NOTE + sdk(),
        "targets.md": NOTE + targets(),
        "templates.md": NOTE + templates(),
        "bento.schema.json": bento_schema(),
        "settings.schema.json": settings_schema(),
        "config.schema.json": config_schema(),
    }


def commands() -> Iterator[str]:
    """A section per command with its help, as a terminal of 80 columns shows it."""
    from dynamo_build.cli.app import COMMANDS, LazyGroup

    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    for name in list(os.environ):
        if name.startswith(("DYNAMO_", "DYN_")):
            del os.environ[name]
    group = LazyGroup(name="dynamo")
    for name in COMMANDS:
        command = group.get_command(None, name)
        yield from section(f"dynamo {name}", command)


def section(path: str, command: Any, level: int = 2) -> Iterator[str]:
    """The help of a command, and of those in it."""
    context = command.make_context(path, [], resilient_parsing=True)
    yield f"{'#' * level} {path}\n\n```text\n{command.get_help(context).strip()}\n```\n"
    for name, inner in getattr(command, "commands", {}).items():
        yield from section(f"{path} {name}", inner, level + 1)


def settings() -> str:
    """The table of settings, and where each can be written."""
    from dynamo_build.project.settings import KNOWN
    from dynamo_build.project.settings import __doc__ as description

    lines = [
        "# Settings\n",
        "A setting `section.key` is written in `pyproject.toml` under `[tool.dynamo.section]`, in `dynamo.yaml` as a",
        "mapping, or as the variable `DYNAMO_SECTION_KEY`.",
        "`settings.schema.json` describes `dynamo.yaml` to editors.\n",
        "## Precedence\n",
        (description or "").partition("\n\n")[2],
        "## All settings\n",
        "| setting | default | what it is for |",
        "|---|---|---|",
    ]
    for name, known in KNOWN.items():
        default = json.dumps(known.default) if known.default not in ("", (), {}) else "–"
        lines.append(f"| `{name}` | {default if default == '–' else f'`{default}`'} | {known.help} |")
    return "\n".join(lines) + "\n"


def sdk() -> str:
    """What `from dynamo.sdk import …` gives."""
    module = importlib.import_module("dynamo.sdk")
    lines = ["# SDK\n", (inspect.getdoc(module) or "") + "\n"]
    for name in sorted(module.__all__):
        thing = getattr(module, name)
        lines.append(f"## {name}\n")
        if callable(thing) and (text := signature(thing)):
            lines.append(f"```python\n{name}{text}\n```\n")
        if type(thing).__module__ == "builtins" and not callable(thing):
            own = f"A `{type(thing).__name__}`: {VALUES[name]}"
        else:
            own = inspect.getdoc(thing) if callable(thing) else inspect.getdoc(type(thing))
        lines.append((own or "") + "\n")
    return "\n".join(lines)


def signature(thing: Any) -> str:
    """The parameters, without the addresses that defaults may show."""
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return ""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def targets() -> str:
    """The options of the targets."""
    from dynamo_build.deploy.kubernetes.objects.object_layout import Autoscaling, KubernetesOptions
    from dynamo_build.deploy.targets import compose

    lines = [
        "# Options of the targets\n",
        "Given as `--option name=value` (a text, or JSON for lists and tables), or under `options` of",
        "`[tool.dynamo.deploy]`. The targets `k8s` and `dynamo-crd` take these:\n",
        inspect.getdoc(KubernetesOptions) or "",
        "",
        "| option | type | default |",
        "|---|---|---|",
    ]
    for field in dataclasses.fields(KubernetesOptions):
        missing = field.default is dataclasses.MISSING
        default = field.default_factory() if missing else field.default  # type: ignore[misc]
        shown = f"`{json.dumps(default)}`" if default not in ("", (), {}) else "–"
        lines.append(f"| `{field.name.replace('_', '-')}` | `{field.type}` | {shown} |")
    lines += ["", f"`Autoscaling`: {inspect.getdoc(Autoscaling)}", "", "| key | type | default |", "|---|---|---|"]
    lines += [f"| `{field.name}` | `{field.type}` | `{field.default}` |" for field in dataclasses.fields(Autoscaling)]
    lines += ["", "The target `compose` takes these:", "", "| option | default |", "|---|---|"]
    lines += [f"| `{name.replace('_', '-')}` | `{value}` |" for name, value in compose.OPTIONS.items()]
    lines += ["", "A target from [another distribution](../how-to/extend.md) has options of its own."]
    return "\n".join(lines) + "\n"


def templates() -> str:
    """The variables of our templates."""
    from dynamo_build.builders.dockerfile import Recipe
    from dynamo_build.project.ci import Pipeline
    from dynamo_build.project.scaffold import Project

    lines = [
        "# Variables of the templates\n",
        "Each template of `templates/` has one variable; these are its fields.\n",
    ]
    for template, variable, kind in (
        ("Dockerfile.j2", "image", Recipe),
        ("ci/github.yaml.j2, ci/gitlab.yaml.j2", "pipeline", Pipeline),
        ("project/*/*.j2", "project", Project),
    ):
        lines.append(f"## {template}: `{variable}`\n\n{inspect.getdoc(kind)}\n")
        lines += ["| field | type |", "|---|---|"]
        lines += [f"| `{field.name}` | `{field.type}` |" for field in dataclasses.fields(kind)]
        lines.append("")
    return "\n".join(lines)


def bento_schema() -> str:
    """The JSON Schema of bento.yaml."""
    from pydantic import TypeAdapter

    from dynamo_build.model.bento import BentoManifest

    schema = TypeAdapter(BentoManifest).json_schema()
    return document({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "bento.yaml"})


def settings_schema() -> str:
    """The JSON Schema of dynamo.yaml."""
    from dynamo_build.project.settings import KNOWN

    sections: dict[str, Any] = {}
    for name, known in KNOWN.items():
        section_name, _, key = name.partition(".")
        shape = {"description": known.help, **kind(known.default, known.nested)}
        section_ = sections.setdefault(
            section_name, {"type": "object", "additionalProperties": False, "properties": {}}
        )
        section_["properties"][key] = shape
    return document(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "dynamo.yaml",
            "type": "object",
            "additionalProperties": False,
            "properties": sections,
        }
    )


def kind(default: Any, nested: bool) -> dict[str, Any]:
    """The type of a setting by its default's."""
    if nested:
        return {"type": "object"}
    kinds: dict[type, dict[str, Any]] = {
        bool: {"type": "boolean"},
        int: {"type": "integer"},
        float: {"type": "number"},
        str: {"type": "string"},
        tuple: {"type": "array", "items": {"type": "string"}},
        dict: {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    }
    return kinds[type(default)]


def config_schema() -> str:
    """The JSON Schema of the YAML that `-f` takes."""
    quantity = {"type": ["string", "number"]}
    resources = {
        "type": "object",
        "properties": {"cpu": quantity, "memory": quantity, "gpu": quantity, "custom": {"type": "object"}},
    }
    arguments = {
        "type": "object",
        "description": "Settings of the service itself; every other key reaches its __init__ or ServiceConfig.",
        "properties": {
            "workers": {"type": "integer", "minimum": 0},
            "resources": resources,
            "envs": {"type": ["array", "object"]},
            "dynamo": {"type": "object"},
            "traffic": {"type": "object"},
            "image": {"type": "string"},
            "labels": {"type": "object"},
        },
    }
    service = {
        "type": "object",
        "properties": {
            "ServiceArgs": arguments,
            "common-configs": {"type": "array", "items": {"type": "string"}},
        },
    }
    return document(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of a graph's services",
            "type": "object",
            "properties": {"Common": {"type": "object"}},
            "additionalProperties": service,
        }
    )


def document(schema: dict[str, Any]) -> str:
    """A schema as its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
