"""Rules over versions of Kubernetes: fields that came after the oldest one supported, or that went before the newest.

Source: the OpenAPI documents of Kubernetes 1.30 to 1.37, compared with one another. The API versions of
`object_rules.API_VERSIONS` are served by all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import Document, mapping, pod_of, pod_path, where
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import Finding

OLDEST, NEWEST = 30, 37
_HANDLERS = ("probe", "lifecycle.postStart", "lifecycle.preStop")
#: Fields of a pod and the minor version that they came with. All three kinds of containers, and of probes, are alike.
_CAME: Mapping[str, int] = {
    "containers.resources.claims.request": 31,
    "resourceClaims.resourceClaimName": 31,
    "resourceClaims.resourceClaimTemplateName": 31,
    "securityContext.supplementalGroupsPolicy": 31,
    "volumes.image": 31,
    "resources": 32,
    "securityContext.seLinuxChangePolicy": 32,
    "containers.lifecycle.stopSignal": 33,
    "containers.env.valueFrom.fileKeyRef": 34,
    "containers.restartPolicyRules": 34,
    "hostnameOverride": 34,
    "volumes.projected.sources.podCertificate": 34,
    "workloadRef": 35,
    "schedulingGroup": 36,
    "containers.probe.grpc.mode": 37,
    "containers.volumeMounts.bindMountOptions": 37,
    "evictionResponders": 37,
    "volumes.emptyDir.mode": 37,
    **{f"containers.{handler}.httpGet.protocol": 37 for handler in _HANDLERS},
    **{f"volumes.{kind}.defaultUser": 37 for kind in ("secret", "configMap", "downwardAPI", "projected")},
    **{f"volumes.{kind}.items.user": 37 for kind in ("secret", "configMap", "downwardAPI")},
}
#: Fields of a pod and the first minor version that has them no more.
_WENT: Mapping[str, int] = {"resourceClaims.source": 31, "workloadRef": 36}
_AUTOSCALER: Mapping[str, int] = {f"behavior.{way}.tolerance": 33 for way in ("scaleUp", "scaleDown")}


def minor_version(text: str) -> int:
    """The minor version of `1.34`, or 0 for "". Raises UsageError for one that is not supported."""
    match = re.fullmatch(r"v?1\.(\d{1,3})(?:\.\d{1,3})?", text)
    if text and (match is None or not OLDEST <= int(match[1]) <= NEWEST):
        raise UsageError(f"`{text}` is not a supported version of Kubernetes", [f"Use 1.{OLDEST} to 1.{NEWEST}."])
    return int(match[1]) if match else 0


def version_findings(document: Document, version: int = 0) -> Iterator[Finding]:
    """Fields that the version does not have; with 0, as warnings, those that not all supported versions have."""
    oldest, newest = (version, version) if version else (OLDEST, NEWEST)
    pod = dict.fromkeys(_paths(pod_of(document), ""))
    known = [(path, _CAME.get(path, 0), _WENT.get(path, NEWEST + 1), pod_path(document)) for path in pod]
    if document.get("kind") == "HorizontalPodAutoscaler":
        spec = dict.fromkeys(_paths(mapping(document, "spec"), ""))
        known += [(path, _AUTOSCALER.get(path, 0), NEWEST + 1, "spec") for path in spec]
    for path, came, went, place in known:
        if came > oldest:
            message = f"came with Kubernetes 1.{came}; " + (f"this is for 1.{version}" if version else _SUPPORTED)
        elif went <= newest:
            message = f"went with Kubernetes 1.{went}; " + (f"this is for 1.{version}" if version else _SUPPORTED)
        else:
            continue
        yield Finding(where=where(document), path=f"{place}.{path}", message=message, warning=not version)


_SUPPORTED = f"1.{OLDEST} to 1.{NEWEST} are supported, and --kubernetes-version says which one it is"


_LIKE = {
    "initContainers": "containers",
    "ephemeralContainers": "containers",
    "startupProbe": "probe",
    "livenessProbe": "probe",
    "readinessProbe": "probe",
}


def _paths(value: Any, path: str) -> Iterator[str]:
    waiting = [(value, path)]
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, dict):
            for key, item in node.items():
                name = _LIKE.get(key, key)
                below = f"{path}.{name}" if path else str(name)
                yield below
                if isinstance(item, (dict, list)):
                    waiting.append((item, below))
        elif isinstance(node, list):
            waiting += [(item, path) for item in node]
