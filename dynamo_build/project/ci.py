"""Pipelines for CI systems that publish images: the same shell steps in the syntax of each system."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from dynamo_build.errors import UsageError
from dynamo_build.system import atomic
from dynamo_build.system.templating import render

#: Where each system looks for its pipeline.
FORMS = {"github": Path(".github/workflows/dynamo.yaml"), "gitlab": Path(".gitlab-ci.yml")}

_LOGIN = """\
printf '%s' "$REGISTRY_PASSWORD" | dynamo login "${DYNAMO_REGISTRY%%/*}" --username "$REGISTRY_USER" --password-stdin"""

_IMAGE = """\
dynamo containerize "$BENTO" --push --attest --registry "$DYNAMO_REGISTRY" -o json > images.json
DIGEST="$(grep -o '"digest": *"sha256:[0-9a-f]*"' images.json | grep -o 'sha256:[0-9a-f]*' | head -n 1)"
dynamo push "$BENTO" "$DYNAMO_REGISTRY/bentos/${BENTO%%:*}:${BENTO##*:}\""""

_SIGN = """\
if [ -n "$SIGNING_KEY" ]; then
  (umask 077 && printf '%s\\n' "$SIGNING_KEY" > signing.key)
  trap 'rm -f signing.key' EXIT
  for image in $(dynamo containerize "$BENTO" --push --registry "$DYNAMO_REGISTRY" -o name); do
    dynamo image sign "$image" --key signing.key
  done
else
  echo "no SIGNING_KEY: images stay unsigned"
fi"""

_CLUSTER = """\
(umask 077 && printf '%s\\n' "$CLUSTER" > kubeconfig)
trap 'rm -f kubeconfig' EXIT
printf '%s' "$IMAGES" > images.json
export KUBECONFIG=kubeconfig
dynamo pull "$DYNAMO_REGISTRY/bentos/${BENTO%%:*}:${BENTO##*:}"
"""

_DEPLOY = (
    _CLUSTER + """dynamo deploy "$BENTO" --set-image @images.json --namespace "$NAMESPACE" --check --apply --wait"""
)

_DIFF = (
    _CLUSTER
    + """\
dynamo deploy "$BENTO" --set-image @images.json --namespace "$NAMESPACE" --diff > changes.txt
{ echo "What \\`$BENTO\\` would change:"; echo '```'; cat changes.txt; echo '```'; } > comment.md"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One environment that is deployed to: after which jobs, and into which namespace."""

    name: str
    namespace: str
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What a pipeline's template is rendered with: its steps in POSIX shell, and where it deploys to."""

    registry: str
    python: str
    install: str
    build: str
    stages: tuple[Stage, ...]
    login: str = _LOGIN
    image: str = _IMAGE
    sign: str = _SIGN
    deploy: str = _DEPLOY
    diff: str = _DIFF


def pipeline(target: str, *, registry: str, version: str, config_file: str = "", python: str = "3.11") -> Pipeline:
    """The pipeline of a graph: build, image, signature, then staging and production by digest."""
    arguments = [target, *(["-f", config_file] if config_file else []), "--locked", "-o", "name"]
    return Pipeline(
        registry=registry,
        python=python,
        install=f"python3 -m pip install --quiet dynamo-build=={version}",
        build=f'BENTO="$(dynamo build {shlex.join(arguments)})"',
        stages=(
            Stage(name="staging", namespace="staging", needs="image"),
            Stage(name="production", namespace="production", needs="image, staging"),
        ),
    )


def write(form: str, project: Path, wanted: Pipeline, *, force: bool = False) -> Path:
    """Write the pipeline where the system looks for it. Raises UsageError for one that is there, unless forced."""
    if form not in FORMS:
        raise UsageError(f"there is no pipeline for `{form}`", [f"There are {', '.join(FORMS)}."])
    path = project / FORMS[form]
    if path.exists() and not force:
        raise UsageError(f"`{FORMS[form]}` already exists", ["Overwrite it with --force."])
    text = render(f"ci/{form}.yaml.j2", pipeline=wanted)
    atomic.put(path, text, parents=True)
    return path
