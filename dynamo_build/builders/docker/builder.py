"""The image builder over the Docker Engine API: pull the base, build once, then tag and push.

Source: Docker Engine API 1.41. BuildKit is asked for by `version=2` on /build, with no session: the engine builds
all of it by itself, so neither the docker command nor its buildx plugin is needed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import docker.errors
import urllib3

from dynamo_build.builders.context import DOCKERFILE, context
from dynamo_build.builders.docker import session
from dynamo_build.builders.docker.build_request import post_build
from dynamo_build.builders.docker.messages import follow
from dynamo_build.errors import ImageBuildError, RegistryError, ToolMissing
from dynamo_build.events import Finished, Listener, Output, Started, Warned
from dynamo_build.model.image import Destination, Image, ImagePlan, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.budget import exceeded
from dynamo_build.oci.layer import STAMP
from dynamo_build.registries import credentials, docker_engine
from dynamo_build.seams import Surroundings

_SECONDS = 3600
#: Proxies that an engine knows as build arguments by itself: they reach RUN and are kept out of the image's history.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


class DockerBuilder:
    """Builds with a Docker Engine; `DOCKER_HOST` names it. `DOCKER_BUILDKIT=0` asks for the classic builder."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._environment = surroundings.environment

    def problems(self, plan: ImagePlan, to: Destination) -> tuple[str, ...]:
        """Why this plan cannot be built to this destination. Raises ToolMissing when no engine answers."""
        if isinstance(to, ToFolder):
            return ("the docker builder delivers to an engine or a registry, not to a folder; `oci` does",)
        if not self._address(to):
            raise docker_engine.missing(self._environment.get("DOCKER_HOST", ""))
        if plan.secrets:
            with self._connected(self._address(to)) as client:
                if not self._buildkit(client):
                    return ("the classic builder cannot mount secrets; BuildKit, `oci`, `buildah` and `podman` can",)
            if not session.client(self._environment):
                return ("secrets need the docker command with its buildx plugin, and none is in PATH",)
        return ()

    def build(self, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        """Build and deliver. Raises ImageBuildError, RegistryError or ToolMissing."""
        if isinstance(to, ToFolder):
            raise ImageBuildError(self.problems(plan, to)[0], ["Name the builder with `--builder oci`."])
        address = self._address(to)
        with self._connected(address) as client:
            buildkit = self._buildkit(client)
            base = self._base(client, address, plan, on)
            _judge(client.inspect_image(base), base, on)
            on(
                Started(
                    what=f"build {plan.name}:{plan.version} with {'BuildKit' if buildkit else 'the classic builder'}"
                )
            )
            identity = self._build(client, address, plan, base, buildkit, on)
            found = client.inspect_image(identity)
            on(Finished(what=f"build {plan.name}:{plan.version}", detail=identity))
            if plan.budget and (said := exceeded(plan.budget, int(found.get("Size") or 0), ())):
                raise ImageBuildError(*said)
            references = (to.reference,) if isinstance(to, ToEngine) else to.references
            for reference in references:
                client.tag(identity, reference.repository, reference.tag or "latest", force=True)
            digest = self._push(client, references, on) if isinstance(to, ToRegistry) else identity
        return Image(
            reference=str(references[0].with_digest(digest)) if isinstance(to, ToRegistry) else identity,
            digest=digest,
            config_digest=identity,
            platform=f"{found.get('Os', '')}/{found.get('Architecture', '')}",
            size=int(found.get("Size") or 0),
            base=base,
            services=plan.services,
            builder="docker",
        )

    def _address(self, to: Destination) -> str:
        if isinstance(to, ToEngine) and to.address:
            return docker_engine.available({**self._environment, "DOCKER_HOST": to.address})
        return docker_engine.available(self._environment)

    @contextlib.contextmanager
    def _connected(self, address: str) -> Iterator[docker.APIClient]:
        """A client of the engine; what goes wrong with it is told in our words."""
        if not address:
            raise docker_engine.missing(self._environment.get("DOCKER_HOST", ""))
        try:
            tls = docker.utils.kwargs_from_env(environment=dict(self._environment)).get("tls", False)
            with contextlib.closing(
                docker.APIClient(base_url=address, version="auto", timeout=_SECONDS, tls=tls)
            ) as client:
                yield client
        except docker.errors.APIError as error:
            raise ImageBuildError(f"the engine refused: {_explained(error)}") from error
        except docker.errors.DockerException as error:
            raise ToolMissing(f"the engine at {address} cannot be used: {_explained(error)}") from error
        except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' own errors are OSErrors
            raise ImageBuildError(f"the connection to the engine broke: {type(error).__name__}") from error

    def _buildkit(self, client: docker.APIClient) -> bool:
        if self._environment.get("DOCKER_BUILDKIT") == "0":
            return False
        version = client.version()
        names = {str(part.get("Name", "")) for part in version.get("Components") or ()}
        return version.get("Os") == "linux" and not any("podman" in name.lower() for name in names)

    def _base(self, client: docker.APIClient, address: str, plan: ImagePlan, on: Listener) -> str:
        """The base as the Dockerfile gets it. It is pulled first: a build without a session has no credentials."""
        base = plan.base
        if base.folder:
            return self._loaded(address, plan, on)
        name = str(ImageReference(base.host, base.path, "" if base.digest else base.tag, base.digest))
        present = _has(client, name)
        if present and (base.digest or not base.host):
            return name
        on(Started(what=f"pull {name}"))
        try:
            for message in client.pull(
                base.repository,
                tag=base.digest or base.tag or "latest",
                stream=True,
                decode=True,
                platform=plan.platform,
                auth_config=self._authorization(base.host),
            ):
                _raise_error(message, f"the base image {name} was not pulled")
        except (docker.errors.APIError, RegistryError) as error:
            said = (
                error.message
                if isinstance(error, RegistryError)
                else f"the base image {name} was not pulled: {_explained(error)}"
            )
            if not present:
                raise RegistryError(
                    said, ["Check the name of the base and, for a registry with a login, `docker login`."]
                ) from error
            on(Warned(text=f"{said}; using the one that the engine has"))
        on(Finished(what=f"pull {name}"))
        return name

    def _loaded(self, address: str, plan: ImagePlan, on: Listener) -> str:
        """A base from a folder, loaded under a name of its content."""
        image = self._surroundings.registry(plan.base).pull(plan.base, plan.platform)
        reference = ImageReference.parse(f"dynamo-base:{image.digest.removeprefix('sha256:')[:12]}")
        docker_engine.load(image, reference, address, on, self._environment)
        return docker_engine.reference_name(reference)

    def _build(
        self, client: docker.APIClient, address: str, plan: ImagePlan, base: str, buildkit: bool, on: Listener
    ) -> str:
        arguments = {"BASE_IMAGE": base, **self._proxies()}
        if buildkit:
            arguments["SOURCE_DATE_EPOCH"] = str(STAMP)
        if plan.secrets:
            return session.build(plan, address, arguments, self._environment, self._surroundings.cache.absolute(), on)
        settings = {
            "dockerfile": DOCKERFILE,
            "networkmode": "host",
            "rm": "1",
            "forcerm": "1",
            "platform": plan.platform,
            "buildargs": _json(arguments),
            "version": "2" if buildkit else "1",
        }
        identity = follow(post_build(client, settings, context(plan, buildkit=buildkit)), on)
        return str(client.inspect_image(identity)["Id"])

    def _push(self, client: docker.APIClient, references: tuple[ImageReference, ...], on: Listener) -> str:
        digest = ""
        for reference in references:
            name = docker_engine.reference_name(reference)
            on(Started(what=f"push {name}"))
            for message in client.push(
                reference.repository,
                tag=reference.tag or "latest",
                stream=True,
                decode=True,
                auth_config=self._authorization(reference.host) or {},
            ):
                _raise_error(message, f"{name} was not pushed")
                aux = message.get("aux")
                if isinstance(aux, dict) and aux.get("Digest"):
                    digest = str(aux["Digest"])
                elif message.get("status") and not message.get("progressDetail"):
                    on(Output(line=str(message["status"])))
            on(Finished(what=f"push {name}", detail=digest))
        if not digest:
            raise RegistryError(f"the engine gave no digest for {references[0]}", ["Push with `--builder oci`."])
        return digest

    def _authorization(self, host: str) -> dict[str, str] | None:
        found = credentials.find(host or "docker.io", self._environment)
        if found is None:
            return None
        if found.identity_token:
            return {"identitytoken": found.identity_token, "serveraddress": host}
        return {"username": found.user, "password": found.secret, "serveraddress": host}

    def _proxies(self) -> dict[str, str]:
        named = [*_PROXIES, *(name.lower() for name in _PROXIES)]
        return {name: self._environment[name] for name in named if self._environment.get(name)}


def _judge(document: Mapping[str, Any], base: str, on: Listener) -> None:
    """Say what the base says of itself."""
    if ((document.get("Config") or {}).get("Labels") or {}).get("dynamo.production") == "false":
        on(Warned(text=f"the base {base} is marked as not for production"))


def _has(client: docker.APIClient, name: str) -> bool:
    try:
        client.inspect_image(name)
    except docker.errors.NotFound:
        return False
    return True


def _raise_error(message: Mapping[str, Any], what: str) -> None:
    """Streams tell errors in the stream. Raises RegistryError."""
    if error := message.get("error"):
        raise RegistryError(f"{what}: {' '.join(str(error).split())}", ["Check the address and `docker login`."])


def _explained(error: BaseException) -> str:
    """What an engine said, in one line."""
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split()) or type(error).__name__


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True)
