"""Names and label values that Kubernetes always accepts, whatever a graph calls its services.

Source: Kubernetes "Object Names and IDs" (RFC 1035 labels for Services, at most 63) and "Labels and Selectors".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

LIMIT = 63
#: A StatefulSet's pods carry `<name>-<hash>` as a label, so the deployment's own name stays short.
DEPLOYMENT_LIMIT = 40
#: Parts of object names that the deployment's own objects use.
RESERVED = frozenset({"nats", "config", "transport"})

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def dns_label(text: str, limit: int = LIMIT) -> str:
    """A DNS label made from any text: `TextProcessor` becomes `text-processor`; what was lost is kept as a hash."""
    spread = _HUMP.sub("-", text)
    label = re.sub(r"[^a-z0-9]+", "-", spread.lower()).strip("-")
    lossless = re.fullmatch(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*", text, re.ASCII) is not None
    if label and not label[0].isalpha():
        label = f"x{label}"
    if label and lossless and len(label) <= limit:
        return label
    return append_hash(label, text, limit)


def append_hash(label: str, text: str, limit: int = LIMIT) -> str:
    """The label, cut where needed, and a short hash of the text it stands for."""
    suffix = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{label[: limit - 7].rstrip('-') or 'x'}-{suffix}"


def service_labels(services: Iterable[str]) -> Mapping[str, str]:
    """A DNS label for each service; those that would clash with one another or with our own objects get a hash."""
    names = tuple(services)
    plain = {name: dns_label(name) for name in names}
    taken = list(plain.values())
    return {
        name: append_hash(label, name) if taken.count(label) > 1 or label in RESERVED else label
        for name, label in plain.items()
    }


def object_name(deployment: str, part: str) -> str:
    """`deployment-part`, cut to a DNS label with a hash where it is too long."""
    name = f"{deployment}-{part}"
    return name if len(name) <= LIMIT else append_hash(name, name)


def label_value(text: str) -> str:
    """A valid label value: other characters become `-`, the rest is cut to 63."""
    if is_label_value(text):
        return text
    return re.sub(r"[^-A-Za-z0-9_.]+", "-", text, flags=re.ASCII)[:LIMIT].strip("-_.")


def is_label_value(text: str) -> bool:
    return _LABEL_VALUE.fullmatch(text) is not None


def is_label_key(text: str) -> bool:
    """`[prefix/]name`, the prefix a DNS subdomain."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return False
    return _LABEL_NAME.fullmatch(name) is not None


def is_dns_label(text: str) -> bool:
    return _DNS_LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None
