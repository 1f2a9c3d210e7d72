"""`${secret:name/key}` in a configuration: which variables of a service a target must fill from its secrets.

The worker reads the value from `DYNAMO_SECRET_<NAME>_<KEY>`, upper case, other signs as `_`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dynamo.sdk.graph import ServiceSpec
from dynamo.sdk.references import REFERENCE, secret_variable
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import SecretReference


def secrets_of(service: ServiceSpec, config: Mapping[str, Any]) -> tuple[SecretReference, ...]:
    """The secrets that a service's own configuration, the common one and its variables refer to, by variable.

    Raises UsageError where two of them would have the same variable.
    """
    found: dict[str, SecretReference] = {}
    for text in _texts([config.get(service.name), config.get("Common"), dict(service.envs)]):
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


def refers(text: str) -> bool:
    """Whether the worker replaces something in the text when it starts."""
    return bool(REFERENCE.search(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
