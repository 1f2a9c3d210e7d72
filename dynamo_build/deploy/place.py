"""Place a bento: an image for each service, and everything that a target needs to run it.

`${secret:name/key}` in a configuration names a key of a Secret: the target fills the variable
`DYNAMO_SECRET_<NAME>_<KEY>` (upper case, other signs as `_`), and the worker reads the value from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamo.sdk import config as service_config
from dynamo.sdk.graph import ServiceGraph, ServiceSpec
from dynamo.sdk.references import REFERENCE, secret_variable
from dynamo_build.errors import UsageError
from dynamo_build.model.bento import Bento
from dynamo_build.model.broker import parse_brokers
from dynamo_build.model.deployment import DEFAULT_TARGET, Deployment, SecretReference, Workload
from dynamo_build.model.reference import ImageReference

_SECRET = re.compile(r"(?i)(?:^|_)(?:password|passwd|secret|token|api_?key|access_?key|private_?key|credentials?)$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: RFC 1123, as the API server checks it.
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
#: Seconds in which a service must answer for the first time; with GPUs it also loads a model.
_STARTUP = 300
_STARTUP_WITH_GPU = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOptions:
    """What is decided at deploy time. `config` overrides the bento's, deeply; `options` are the target's own.

    `startup` and `drain` are seconds per service. `pin_architecture` puts the architecture of the images into the
    options where there is one alone.
    """

    name: str = ""
    namespace: str = "default"
    target: str = DEFAULT_TARGET
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretReference, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    nats: str = ""
    startup: Mapping[str, int] = field(default_factory=dict)
    drain: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    pin_architecture: bool = True


#: The digest of an image that is not built yet, in plans.
UNBUILT = f"sha256:{'0' * 64}"


def place_bento(bento: Bento, images: Mapping[str, str], options: PlaceOptions) -> Deployment:
    """A deployment of a bento. `images` maps each service to a reference with a digest.

    Raises UsageError for a service without an image, an image without a digest, a variable that has two values, a
    namespace that no cluster takes, or an address that is none of NATS.
    """
    manifest = bento.manifest
    resolved = service_config.merge_values(manifest.config, options.config)
    graph = service_config.apply_config(manifest.graph, resolved)
    _check_images(graph, images)
    _check_environment(options)
    _check_namespace(options.namespace)
    name = options.name or manifest.name
    architectures = {platform.partition("/")[2] for platform in manifest.platforms}
    target_options = dict(options.options)
    if options.pin_architecture and len(architectures) == 1:
        target_options.setdefault("architecture", architectures.pop())
    return Deployment(
        name=name,
        namespace=options.namespace,
        bento=manifest.tag,
        target=options.target,
        entry=graph.entry,
        workloads=tuple(
            _build_workload(graph, service, images[service.name], options, resolved) for service in graph.services
        ),
        config=resolved,
        nats=",".join(each.url for each in parse_brokers(options.nats)),
        options=target_options,
    )


def _build_workload(
    graph: ServiceGraph, service: ServiceSpec, image: str, options: PlaceOptions, config: Mapping[str, Any]
) -> Workload:
    gpu = service.resources.gpu not in ("", "0")
    secret = {item.variable for item in options.secrets}
    # The worker sets those that refer to something, once it knows what.
    own = {key: value for key, value in service.envs.items() if key not in secret and not has_reference(value)}
    referred = tuple(item for item in list_secret_references(service, config) if item.variable not in secret)
    return Workload(
        service=service.name,
        image=image,
        namespace=service.namespace,
        dynamo=service.dynamo,
        http=service.http,
        entry=service.name == graph.entry,
        replicas=service.workers,
        resources=service.resources,
        environment={**own, **options.environment},
        secrets=(*options.secrets, *referred),
        labels=service.labels,
        calls=tuple(dict.fromkeys(edge.service for edge in service.edges)),
        component_type=service.component_type,
        startup=options.startup.get(service.name, _STARTUP_WITH_GPU if gpu else _STARTUP),
        drain=options.drain.get(service.name, 60),
        overrides=service.kubernetes_overrides,
    )


def _check_images(graph: ServiceGraph, images: Mapping[str, str]) -> None:
    known = set(graph.names)
    for service, text in images.items():
        if service not in known:
            raise UsageError(f"there is no service `{service}` in the graph", [f"It has {', '.join(graph.names)}."])
        _check_digest(text, service)
    if missing := [name for name in graph.names if name not in images]:
        raise UsageError(f"no image for {', '.join(missing)}", ["Name it with --set-image SERVICE=REFERENCE@DIGEST."])


def _check_environment(options: PlaceOptions) -> None:
    names = [*options.environment, *(item.variable for item in options.secrets)]
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(f"`{name}` cannot be the name of a variable", ["Use letters, digits and `_`."])
        value = options.environment.get(name, "")
        if value and _SECRET.search(name) and not value.isdigit():
            raise UsageError(
                f"{name} looks like a secret, and its value would stand in the manifest",
                [f"Keep it in a Secret: --env-from-secret {name}=SECRET/KEY."],
            )
        if names.count(name) > 1:
            raise UsageError(f"{name} is set both as a value and from a secret", ["Keep one of the two."])


def _check_namespace(namespace: str) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError(
            f"`{namespace}` cannot be a namespace",
            ["Use at most 63 lower case letters, digits and `-`, with a letter or digit at both ends."],
        )


def parse_named_images(named: Sequence[str], services: Sequence[str]) -> dict[str, str]:
    """`[SERVICE=]REFERENCE@DIGEST` texts as a reference for each service they name. Raises UsageError.

    `@FILE` stands for the images in what `dynamo containerize -o json` printed.
    """
    found: dict[str, str] = {}
    texts = [
        one for text in named for one in (_read_delivered_images(Path(text[1:])) if text.startswith("@") else [text])
    ]
    for text in sorted(texts, key=lambda item: "=" in item):
        service, equals, reference = text.rpartition("=")
        if equals and service not in services:
            raise UsageError(f"there is no service `{service}` in the graph", [f"It has {', '.join(services)}."])
        _check_digest(reference, service)
        found |= {service: reference} if equals else dict.fromkeys(services, reference)
    return found


def _read_delivered_images(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text())
        images = content if isinstance(content, list) else [content]
        found = [f"{service}={image['reference']}" for image in images for service in image["services"]]
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, KeyError, TypeError) as error:
        hint = "It holds what `dynamo containerize --push -o json` prints."
        raise UsageError(f"`{path}` is not a list of images", [hint]) from error
    return found


def _check_digest(text: str, service: str) -> None:
    if not ImageReference.parse(text).digest:
        raise UsageError(
            f"the image `{text}`{f' of service {service}' if service else ''} has no digest",
            ["Name it as `repository@sha256:…`, so that what runs is what was tested."],
        )


def list_secret_references(service: ServiceSpec, config: Mapping[str, Any]) -> tuple[SecretReference, ...]:
    """The secrets that a service's own configuration, the common one and its variables refer to, by variable.

    Raises UsageError where two of them would have the same variable.
    """
    found: dict[str, SecretReference] = {}
    for text in _list_texts([config.get(service.name), config.get("Common"), dict(service.envs)]):
        for _, secret, key in REFERENCE.findall(text):
            if not secret:
                continue
            reference = SecretReference(variable=secret_variable(secret, key), secret=secret, key=key)
            other = found.setdefault(reference.variable, reference)
            if other != reference:
                raise UsageError(
                    f"`{other.secret}/{other.key}` and `{secret}/{key}` would both be {reference.variable}",
                    ["Rename one of the secrets or keys."],
                )
    return tuple(found[name] for name in sorted(found))


def has_reference(text: str) -> bool:
    """Whether the worker replaces something in the text when it starts."""
    return bool(REFERENCE.search(text))


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _list_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _list_texts(item)
