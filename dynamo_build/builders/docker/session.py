"""Builds with secrets through the docker command, which holds the session over which BuildKit asks for them.

Source: docker-buildx-build(1), `--secret`; the BuildKit client within docker before 23.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from dynamo_build.builders import secrets
from dynamo_build.builders.context import DOCKERFILE, context
from dynamo_build.errors import DynamoError, ImageBuildError
from dynamo_build.events import Listener
from dynamo_build.model.image import ImagePlan
from dynamo_build.system import process
from dynamo_build.system.scratch import scratch

#: The first version whose BuildKit client is a plugin.
_PLUGIN = 23


def client(environment: Mapping[str, str]) -> str:
    """A docker command that can speak to BuildKit; "" when there is none."""
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        program = Path(folder, "docker")
        if folder and os.access(program, os.X_OK) and _able(str(program), environment):
            return str(program)
    return ""


def _able(program: str, environment: Mapping[str, str]) -> bool:
    try:
        said = re.search(r"version (\d+)\.", process.run([program, "--version"], environment=environment, timeout=10))
        if said and int(said.group(1)) < _PLUGIN:
            return True
        process.run([program, "buildx", "version"], environment=environment, timeout=10)
    except DynamoError:
        return False
    return True


def build(
    plan: ImagePlan,
    address: str,
    arguments: Mapping[str, str],
    environment: Mapping[str, str],
    cache: Path,
    on: Listener,
) -> str:
    """Build, and give the id of the image. Raises ImageBuildError."""
    with scratch(cache, "docker-") as folder:
        packed, source = folder / "context.tar", folder / "context"
        with packed.open("wb") as out:
            for piece in context(plan, buildkit=True):
                out.write(piece)
        with tarfile.open(packed) as archive:
            archive.extractall(source, filter="data")
        packed.unlink()
        command = [
            client(environment), "build", "--progress", "plain", "--network", "host", "--platform", plan.platform,
            "--iidfile", str(folder / "identity"), "--file", str(source / DOCKERFILE),
            *secrets.arguments(arguments, environment),
            *secrets.options(plan.secrets), str(source),
        ]  # fmt: skip
        variables = {**environment, "DOCKER_HOST": address, "DOCKER_BUILDKIT": "1"}
        try:
            process.run(command, environment=variables, folder=folder, on=on)
        except process.ProgramFailed as error:
            said = [line.strip() for line in error.tail if line.strip()]
            raise ImageBuildError(
                f"docker could not build the image: {said[-1] if said else error.message}", ["See its output above."]
            ) from error
        return (folder / "identity").read_text().strip()
