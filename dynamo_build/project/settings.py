"""Settings of a project, merged from all places where they are set. This is the only merge of settings.

A later row overrides an earlier one, setting by setting:

| rank | place | how `build.python` is written there |
|---|---|---|
| 1 | default | – |
| 2 | `bentofile.yaml`, else `[tool.bentoml.build]` in `pyproject.toml` | `docker: {python_version: …}` |
| 3 | `pyproject.toml` or `dynamo.yaml`; both is an error | `[tool.dynamo.build]` or `build:`, key `python` |
| 4 | environment | `DYNAMO_BUILD_PYTHON`; lists are separated by commas |
| 5 | flag | `--python` |

Names are `section.key`. Two variables are not settings and rank between 3 and 5: `DYNAMO_IMAGE` names the base image
when an image is built, after a service's own `image=`; `DYNAMO_REGISTRY` is the default of `--registry`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dynamo.sdk.suggestions import find_closest
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.deployment import DEFAULT_TARGET
from dynamo_build.model.plan import BuildOptions
from dynamo_build.model.reference import Platform
from dynamo_build.project import bentofile
from dynamo_build.system.yaml import read_yaml


@dataclass(frozen=True, slots=True)
class Known:
    """One setting: its default, whose type is the setting's, and its description; `nested` tables hold any value."""

    default: Any
    help: str
    nested: bool = False


KNOWN: Mapping[str, Known] = {
    "build.name": Known("", "The bento's name. Default: the entry service's, in lower case."),
    "build.version": Known("", "The version. Default: derived from the content's digest."),
    "build.include": Known((), "Patterns of the files to pack. Default: all."),
    "build.exclude": Known((), "Patterns of files to leave out, in addition to the ignore files."),
    "build.python": Known("", "The Python of the image, such as 3.12. Default: `.python-version`, else 3.11."),
    "build.platforms": Known(("linux/amd64",), "The platforms to lock packages for."),
    "build.requirements": Known((), "Packages in addition to the project's, as PEP 508 lines."),
    "build.allow_secrets": Known((), "Patterns of files that may contain apparent secrets."),
    "build.runtime_only": Known((), "Modules that exist only in the image."),
    "build.labels": Known({}, "Labels of the bento and its images."),
    "build.budget": Known(0, "Largest total size of the files in bytes; 0: no limit."),
    "build.warn_size": Known(64 << 20, "Size in bytes from which a file is reported as large; 0: never."),
    "build.timeout": Known(60.0, "Time limit of the graph's import in seconds."),
    "build.config_file": Known("", "The YAML file with a section per service."),
    "build.strict": Known(False, "Treat warnings as errors."),
    "build.upgrade": Known(False, "Lock the packages again."),
    "build.locked": Known(False, "Fail if dynamo.lock is out of date."),
    "build.locker": Known("uv", "The locker: uv, given, or an entry point of `dynamo.lockers`."),
    "build.offline": Known(False, "Lock from uv's cache, without network."),
    "build.rehash": Known(False, "Read every file again, even if it seems unchanged."),
    "image.base": Known("", "The project's base image."),
    "image.system_packages": Known((), "Debian packages for the image."),
    "image.dockerfile_template": Known("", "A file that extends blocks of the Dockerfile's template."),
    "image.setup_commands": Known((), "Shell commands run while the image is built."),
    "deploy.target": Known(
        DEFAULT_TARGET, "The target of `dynamo deploy`, by its name (see docs/reference/targets.md)."
    ),
    "deploy.registry": Known("", "The registry to push missing images to, `HOST[/PATH]`."),
    "deploy.name": Known("", "The deployment's name. Default: the bento's."),
    "deploy.namespace": Known("default", "The namespace of deployments."),
    "deploy.context": Known("", "The context of the kubeconfig. Default: the current one."),
    "deploy.nats": Known("", "Address of an existing NATS server. Default: the deployment starts its own."),
    "deploy.options": Known({}, "Settings of the target, such as `ingress-host`.", nested=True),
}
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting and its source; `notes` name the options of a bentofile that have no effect."""

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get_source(self, name: str) -> str:
        """Where a setting was made: `--python`, `DYNAMO_BUILD_PYTHON`, `pyproject.toml`, `default`, …"""
        return self.sources[name]

    def build_options(self, *, without: tuple[str, ...] = (), arguments: tuple[str, ...] = ()) -> BuildOptions:
        """The settings of a build as a value. Raises UsageError for an invalid platform."""
        ours = {name: value for name, value in self.values.items() if not name.startswith("deploy.")}
        given = {name.partition(".")[2]: value for name, value in ours.items()}
        for platform in given["platforms"]:
            Platform.parse(platform)
        given["platforms"] = tuple(sorted(set(given["platforms"])))
        return BuildOptions(without=without, arguments=arguments, **given)


def load_settings(project: Path, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """The settings of the project in this folder, merged in the order of the module's table.

    `flags` are values by setting; one of None was not given. Raises UsageError, which names the place.
    """
    values = {name: known.default for name, known in KNOWN.items()}
    sources = dict.fromkeys(KNOWN, "default")
    theirs, notes = _read_bentofile(project)
    for name, (value, where) in {**theirs, **_read_pyproject(project), **_read_dynamo_yaml(project)}.items():
        values[name], sources[name] = _check_type(name, value, where), where
    for name in KNOWN:
        variable = "DYNAMO_" + name.replace(".", "_").upper()
        if variable in environment:
            values[name], sources[name] = _parse_text(name, environment[variable], variable), variable
    for name, value in flags.items():
        if value is not None:
            flag = "--" + name.partition(".")[2].replace("_", "-")
            values[name], sources[name] = _check_type(name, value, flag), flag
    return Settings(values, sources, notes)


def _read_pyproject(project: Path) -> dict[str, tuple[Any, str]]:
    content = read_toml(project / "pyproject.toml")
    tool = content.get("tool")
    section = tool.get("dynamo", {}) if isinstance(tool, Mapping) else {}
    return _flatten_sections(section, "pyproject.toml", "tool.dynamo.")


def _read_bentofile(project: Path) -> tuple[dict[str, tuple[Any, str]], tuple[str, ...]]:
    where, content = bentofile.NAME, _parse_file(project / bentofile.NAME)
    if content is None:
        tool = read_toml(project / "pyproject.toml").get("tool")
        section = tool.get("bentoml") if isinstance(tool, Mapping) else None
        where, content = "[tool.bentoml.build]", section.get("build") if isinstance(section, Mapping) else None
    if content is None:
        return {}, ()
    found, notes = bentofile.translate_bentofile(content, where)
    return {name: (value, where) for name, value in found.items()}, notes


def _parse_file(path: Path) -> Any:
    try:
        return read_yaml(path.read_bytes(), path.name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except StoreError as error:
        raise UsageError(error.message) from error


def _read_dynamo_yaml(project: Path) -> dict[str, tuple[Any, str]]:
    found = _flatten_sections(_parse_file(project / "dynamo.yaml") or {}, "dynamo.yaml", "")
    twice = sorted(found.keys() & _read_pyproject(project).keys())
    if twice:
        raise UsageError(f"`{twice[0]}` is set in dynamo.yaml and in pyproject.toml", ["Remove one of them."])
    return found


def read_toml(path: Path) -> Mapping[str, Any]:
    """A TOML file of the project, {} when there is none. Raises UsageError with the line."""
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path.name} cannot be read: {str(error)[:1].lower()}{str(error)[1:]}") from error


def _flatten_sections(section: Any, where: str, prefix: str) -> dict[str, tuple[Any, str]]:
    if not isinstance(section, Mapping):
        raise UsageError(f"`{prefix.rstrip('.') or 'the top'}` of {where} is not a table of settings")
    found: dict[str, tuple[Any, str]] = {}
    for outer, inner in section.items():
        if not isinstance(inner, Mapping):
            raise UsageError(f"{where} has an unknown setting `{prefix}{outer}`", [_suggest_setting(str(outer))])
        for key, value in inner.items():
            name = f"{outer}.{str(key).replace('-', '_')}"
            if name not in KNOWN:
                raise UsageError(f"{where} has an unknown setting `{prefix}{outer}.{key}`", [_suggest_setting(name)])
            found[name] = (value, where)
    return found


def _suggest_setting(name: str) -> str:
    close = find_closest(name, KNOWN, 0.5)
    return f"Did you mean `{close}`?" if close else f"There are {', '.join(KNOWN)}."


def _check_type(name: str, value: Any, where: str) -> Any:
    default = KNOWN[name].default
    if isinstance(default, tuple) and isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if KNOWN[name].nested and isinstance(value, Mapping):
        return dict(value)
    if isinstance(default, dict) and isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, type(default)) and (not isinstance(value, bool) or isinstance(default, bool)):
        return value
    hint = f"It needs {_describe_type(default)}."
    if name == "build.python":
        hint += " Put it in quotes: 3.10 without them is the number 3.1."
    raise UsageError(f"`{name}` of {where} is {value!r}", [hint])


def _parse_text(name: str, text: str, where: str) -> Any:
    default = KNOWN[name].default
    if isinstance(default, bool):
        if text.lower() not in _TRUE | _FALSE:
            raise UsageError(f"{where} is {text!r}", ["It needs true or false."])
        return text.lower() in _TRUE
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError as error:
            raise UsageError(f"{where} is {text!r}", ["It needs a number."]) from error
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, dict):
        return parse_pairs(parts, where)
    return parts if isinstance(default, tuple) else text


def parse_pairs(parts: tuple[str, ...] | list[str], where: str) -> dict[str, str]:
    """`key=value` texts as a mapping. Raises UsageError."""
    for part in parts:
        if not part.partition("=")[0] or "=" not in part:
            raise UsageError(f"`{part}` of {where} is not `key=value`", ["Write a name, `=` and a value."])
    return dict(cast("list[tuple[str, str]]", [part.split("=", 1) for part in parts]))


def _describe_type(default: Any) -> str:
    names = {bool: "true or false", str: "a text", tuple: "a list of texts", dict: "a table", int: "a whole number"}
    return names.get(type(default), "a number")
