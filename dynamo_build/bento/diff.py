"""The difference of two bentos: files, packages, configuration, API, image layers, and the rest of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.graph import Json
from dynamo_build.bento import archive
from dynamo_build.errors import StoreError
from dynamo_build.graph import apis
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.packages import lockfile
from dynamo_build.system.digest import digest_bytes

_ELSEWHERE = frozenset(
    {
        *("name", "version", "graph", "config", "lock", "derived"),
        *("files_digest", "files_count", "files_size", "executables"),
    }
)
_OWN = frozenset({"position", "endpoints", "namespace", "dynamo"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs. `before` or `after` is None where it is not there."""

    what: str
    before: Json = None
    after: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What it takes to get from one bento to the other; all empty when they are the same."""

    before: str
    after: str
    files: tuple[Change, ...] = ()
    packages: tuple[Change, ...] = ()
    config: tuple[Change, ...] = ()
    api: tuple[Change, ...] = ()
    services: tuple[Change, ...] = ()
    layers: tuple[Change, ...] = ()
    other: tuple[Change, ...] = ()


def diff_bentos(before: Bento, after: Bento) -> Comparison:
    """The differences between two bentos; file contents by their digests. Raises StoreError for a damaged one."""
    one, two = before.manifest, after.manifest
    return Comparison(
        before=one.tag,
        after=two.tag,
        files=_list_changes(_read_file_digests(before), _read_file_digests(after)),
        packages=_list_changes(_list_packages(one), _list_packages(two)),
        config=_list_changes(
            _flatten_mapping(codec.to_plain(one.config)), _flatten_mapping(codec.to_plain(two.config))
        ),
        api=_list_changes(
            _flatten_mapping(apis.describe_endpoints(one.graph)), _flatten_mapping(apis.describe_endpoints(two.graph))
        ),
        services=_list_changes(_flatten_services(one), _flatten_services(two)),
        layers=_list_changes(_digest_layers(one), _digest_layers(two)),
        other=_list_changes(_flatten_rest(one), _flatten_rest(two)),
    )


def _list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = sorted({*before, *after})
    return tuple(
        Change(what=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    )


def _read_file_digests(bento: Bento) -> dict[str, str]:
    try:
        content = (Path(bento.folder) / "files.sha256").read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"files.sha256 of `{bento.tag}` cannot be read: {reason}") from error
    if digest_bytes(content) != bento.manifest.files_digest:
        raise StoreError(f"files.sha256 of `{bento.tag}` was changed", ["Build it again."])
    run = {f"src/{name}" for name in bento.manifest.executables}
    listed = archive.read_listing(content).items()
    return {
        name.removeprefix("src/"): f"sha256:{digest}" + (" executable" if name in run else "")
        for name, digest in listed
    }


def _list_packages(manifest: BentoManifest) -> dict[str, str]:
    found = {}
    for platform, packages in manifest.lock.packages.items():
        for package in packages:
            marker = f" ; {package.marker}" if package.marker else ""
            hashes = digest_bytes(" ".join(package.hashes).encode())[7:19]
            found[f"{package.name} ({platform}){marker}"] = f"{package.source or package.version} [{hashes}]"
    return found


def _digest_layers(manifest: BentoManifest) -> dict[str, str]:
    """What each layer of an image is made from, in short: where it is equal, an image shares the layer with the other.

    What a base provides is not known here, and into how many layers packages go is the builder's affair.
    """
    found = {}
    if manifest.dockerfile_template:
        found["template"] = digest_bytes(manifest.dockerfile_template.encode())[7:19]
    if manifest.system_packages or manifest.setup_commands:
        found["setup"] = _digest_value([manifest.system_packages, manifest.setup_commands])
    for platform, packages in manifest.lock.packages.items():
        found[f"packages ({platform})"] = digest_bytes(lockfile.format_requirements(packages).encode())[7:19]
    found["runtime"] = manifest.runtime_digest[7:19]
    found["config"] = _digest_value(
        [codec.encode_canonical(manifest.graph).decode(), codec.encode_ordered(manifest.config).decode()]
    )
    found["code"] = _digest_value([manifest.files_digest, manifest.executables])
    return found


def _digest_value(value: Json) -> str:
    return digest_bytes(codec.encode_canonical(value))[7:19]


def _flatten_services(manifest: BentoManifest) -> dict[str, Any]:
    services = {
        service.name: {key: value for key, value in codec.to_plain(service).items() if key not in _OWN}
        for service in manifest.graph.services
    }
    return _flatten_mapping({"entry": manifest.graph.entry, "services": services})


def _flatten_rest(manifest: BentoManifest) -> dict[str, Any]:
    return _flatten_mapping({key: value for key, value in codec.to_plain(manifest).items() if key not in _ELSEWHERE})


def _flatten_mapping(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists are compared whole."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and (item or not prefix):
            found.update(_flatten_mapping(item, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = item
    return found
