"""Plays the pods of the double's workloads in a real engine, and tells the double how they do: a small kubelet.

Honoured are image, command, arguments, variables with references, ports, probes, preStop, security contexts, limits of
memory, volumes and Service names; `unhonoured` lists the rest.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.pod_network import Address, PodNetwork
from support.cluster import Cluster

#: As a platform gives it that assigns each namespace a range.
ARBITRARY_USER = 1000680000
_HONOURED = {
    "pod": {"containers", "volumes", "securityContext", "terminationGracePeriodSeconds", "automountServiceAccountToken",
            "enableServiceLinks", "restartPolicy", "dnsPolicy"},
    "container": {"name", "image", "imagePullPolicy", "command", "args", "env", "ports", "resources", "startupProbe",
                  "livenessProbe", "readinessProbe", "lifecycle", "securityContext", "volumeMounts", "terminationMessagePath"},
    "securityContext": {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile",
                        "allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"},
    "resources": {"cpu", "memory"},
}  # fmt: skip


@dataclass
class Pod:
    """One pod that runs."""

    workload: tuple[str, str]
    name: str
    spec: dict[str, Any]
    labels: dict[str, str]
    address: Address
    sandbox: str = ""
    container: str = ""
    started: bool = False
    ready: bool = False
    restarts: int = 0
    event: str = ""
    failures: dict[str, int] = field(default_factory=dict)


class Pods:
    """The pods of all workloads of a namespace; see `played`."""

    def __init__(self, double: Cluster, network: PodNetwork, namespace: str, sandbox: str, folder: Path) -> None:
        self.double = double
        self.network = network
        self.namespace = namespace
        self.sandbox = sandbox
        self.folder = folder
        self.ended = threading.Event()
        self.pods = [
            self._pod(key, live, index)
            for key, live in sorted(double.store.objects.items())
            if key[0] in ("deployments", "statefulsets") and key[1] == namespace
            for index in range(live["spec"].get("replicas", 1))
        ]

    def _pod(self, key: tuple[str, str, str], live: dict[str, Any], index: int) -> Pod:
        template = live["spec"]["template"]
        name = f"{key[2]}-{index}"
        labels = dict(template["metadata"]["labels"])
        spec = json.loads(json.dumps(template["spec"]))
        for claim in live["spec"].get("volumeClaimTemplates") or ():
            spec.setdefault("volumes", []).append({"name": claim["metadata"]["name"], "emptyDir": {}})
        return Pod((key[0], key[2]), name, spec, labels, self.network.address(name, labels))

    def unhonoured(self) -> list[str]:
        """Keys of the pods that are not played."""
        found = set()
        for pod in self.pods:
            found |= {key for key in pod.spec if key not in _HONOURED["pod"]}
            for holder in (pod.spec, *pod.spec["containers"]):
                found |= set(holder.get("securityContext") or {}) - _HONOURED["securityContext"]
            for container in pod.spec["containers"]:
                found |= set(container) - _HONOURED["container"]
                for values in container["resources"].values():
                    found |= set(values) - _HONOURED["resources"]
        return sorted(found)

    def of(self, workload: str) -> Pod:
        """The first pod of a workload."""
        return next(pod for pod in self.pods if pod.workload[1] == workload)

    def inside(self, workload: str, code: str) -> subprocess.CompletedProcess[str]:
        """Python in the first container of a workload."""
        command = ["docker", "exec", self.of(workload).container, "python", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def ask(self, workload: str, port: int, path: str, body: bytes | None = None) -> str:
        """An HTTP answer of a workload's first pod, asked from the node."""
        url = f"http://{self.of(workload).address.ip}:{port}{path}"

        def work() -> str:
            with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=20) as response:
                return str(response.read().decode())

        return self.network.on_node(work)

    def start(self) -> None:
        hosts = self.folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in self._services()))
        for pod in self.pods:
            quick = ["--entrypoint", "python", self.sandbox, "-c", "import signal; signal.pause()"]
            pod.sandbox = docker("run", "-d", "--network", "none", "--hostname", pod.name, *quick)
            self.network.join(pod.address, int(docker("inspect", "-f", "{{.State.Pid}}", pod.sandbox)))
        self.network.enforce(self._objects("networkpolicies"))
        for pod in self.pods:
            self._run(pod, hosts)
            threading.Thread(target=self.network.on_node, args=(lambda pod=pod: self._watch(pod, hosts),)).start()

    def stop(self) -> list[tuple[str, int]]:
        """Stop every pod as a node does; gives each one's name and exit code."""
        self.ended.set()
        codes = []
        for pod in self.pods:
            (container,) = pod.spec["containers"]
            hook = ((container.get("lifecycle") or {}).get("preStop") or {}).get("exec")
            if hook:
                subprocess.run(["docker", "exec", pod.container, *hook["command"]], check=False, capture_output=True)
            docker("stop", "-t", str(pod.spec.get("terminationGracePeriodSeconds", 30)), pod.container)
            codes.append((pod.name, int(docker("inspect", "-f", "{{.State.ExitCode}}", pod.container))))
        return codes

    def remove(self) -> None:
        self.ended.set()
        for pod in self.pods:
            for name in filter(None, (pod.container, pod.sandbox)):
                subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)

    def log(self, workload: str) -> str:
        done = subprocess.run(
            ["docker", "logs", self.of(workload).container], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def _objects(self, plural: str) -> list[dict[str, Any]]:
        return self.double.store.list(plural, self.namespace)

    def _services(self) -> Iterator[tuple[str, str]]:
        for service in self._objects("services"):
            for pod in self.pods:
                if service["spec"]["selector"].items() <= pod.labels.items():
                    yield service["metadata"]["name"], pod.address.ip
                    break

    def _run(self, pod: Pod, hosts: Path) -> None:
        (container,) = pod.spec["containers"]
        shared, own = pod.spec.get("securityContext") or {}, container.get("securityContext") or {}
        both = {**shared, **own}
        user = both.get("runAsUser", ARBITRARY_USER)
        assert not both.get("runAsNonRoot") or user != 0
        variables = dict(self._environment(pod, container))
        command = ["run", "-d", "--network", f"container:{pod.sandbox}", "-v", f"{hosts}:/etc/hosts:ro"]
        command += ["--user", f"{user}:{both.get('runAsGroup', 0)}"]
        command += ["--read-only"] if own.get("readOnlyRootFilesystem") else []
        command += [f"--cap-drop={name}" for name in (own.get("capabilities") or {}).get("drop") or ()]
        command += ["--security-opt=no-new-privileges"] if own.get("allowPrivilegeEscalation") is False else []
        if memory := (container["resources"].get("limits") or {}).get("memory"):
            command += ["-m", memory.lower().replace("i", "")]
        for name, value in variables.items():
            command += ["-e", f"{name}={value}"]
        command += list(self._volumes(pod, container, both.get("fsGroup")))
        words = [_expanded(word, variables) for word in container.get("args") or ()]
        if entry := container.get("command"):
            command += ["--entrypoint", entry[0]]
            words = [*entry[1:], *words]
        pod.container = docker(*command, container["image"], *words)

    def _environment(self, pod: Pod, container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        before: dict[str, str] = {}
        for item in container.get("env") or ():
            source = item.get("valueFrom") or {}
            if "secretKeyRef" in source:
                held = self.double.get("secrets", source["secretKeyRef"]["name"], self.namespace)
                value = base64.b64decode(held["data"][source["secretKeyRef"]["key"]]).decode()
            elif "configMapKeyRef" in source:
                held = self.double.get("configmaps", source["configMapKeyRef"]["name"], self.namespace)
                value = held["data"][source["configMapKeyRef"]["key"]]
            elif "fieldRef" in source:
                known = {
                    "status.podIP": pod.address.ip,
                    "metadata.name": pod.name,
                    "metadata.namespace": self.namespace,
                }
                value = known[source["fieldRef"]["fieldPath"]]
            else:
                value = _expanded(item.get("value", ""), before)
            before[item["name"]] = value
            yield item["name"], value

    def _volumes(self, pod: Pod, container: Mapping[str, Any], group: int | None) -> Iterator[str]:
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes") or ()}
        if group is not None:
            yield f"--group-add={group}"
        for mount in container.get("volumeMounts") or ():
            volume = volumes[mount["name"]]
            if (volume.get("emptyDir") or {}).get("medium") == "Memory":
                size = volume["emptyDir"]["sizeLimit"].lower().replace("i", "")
                yield f"--tmpfs={mount['mountPath']}:rw,mode=1777,size={size}"
                continue
            folder = self.folder / pod.name / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            if "configMap" in volume:
                held = self.double.get("configmaps", volume["configMap"]["name"], self.namespace)
                for name, text in held["data"].items():
                    (folder / name).write_text(text)
            folder.chmod(0o777)
            yield f"-v={folder}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")

    def _watch(self, pod: Pod, hosts: Path) -> None:
        """Probes as they are written; a container that fails its startup or liveness probe, or ends, is run anew."""
        (container,) = pod.spec["containers"]
        due: dict[str, float] = {}
        while not self.ended.wait(0.4):
            running = docker("inspect", "-f", "{{.State.Running}}", pod.container) == "true"
            wanted = (
                ["startupProbe"]
                if not pod.started and "startupProbe" in container
                else ["livenessProbe", "readinessProbe"]
            )
            for kind in wanted:
                probe = container.get(kind)
                if running and probe and time.monotonic() >= due.get(kind, 0):
                    # At the pace of a second until the first success: a test need not wait for ten.
                    due[kind] = time.monotonic() + (probe.get("periodSeconds", 10) if pod.started else 0.5)
                    running = self._probe(pod, container, kind, probe)
            if not running and not self.ended.is_set():
                pod.restarts, pod.started, pod.ready, pod.failures = pod.restarts + 1, False, False, {}
                self.double.logs[f"{pod.name} previous"] = self.log(pod.workload[1])
                subprocess.run(["docker", "rm", "-f", pod.container], capture_output=True, check=False)
                self._run(pod, hosts)
            self._report(pod, container)

    def _probe(self, pod: Pod, container: Mapping[str, Any], kind: str, probe: Mapping[str, Any]) -> bool:
        ports = {port["name"]: port["containerPort"] for port in container.get("ports") or ()}
        port = probe["httpGet"]["port"]
        url = f"http://{pod.address.ip}:{ports.get(port, port)}{probe['httpGet']['path']}"
        try:
            with urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)):
                failure = ""
        except urllib.error.HTTPError as error:
            failure = f"HTTP probe failed with statuscode: {error.code}"
        except OSError as error:
            failure = f"Get {url}: {error}"
        pod.failures[kind] = pod.failures.get(kind, 0) + 1 if failure else 0
        if failure:
            pod.event = f"{kind.removesuffix('Probe').capitalize()} probe failed: {failure}"
        exhausted = pod.failures[kind] >= probe.get("failureThreshold", 3)
        if not failure and kind == "startupProbe":
            pod.started = True
        if kind == "readinessProbe":
            pod.ready = not failure or (pod.ready and not exhausted)
            pod.event = pod.event if failure else ""
        return not (exhausted and kind != "readinessProbe")

    def _report(self, pod: Pod, container: Mapping[str, Any]) -> None:
        store = self.double.store
        with store.lock:
            key = (pod.workload[0], self.namespace, pod.workload[1])
            live = store.objects[key]
            status = {
                "phase": "Running",
                "podIP": pod.address.ip,
                "conditions": [{"type": "Ready", "status": "True" if pod.ready else "False"}],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "ready": pod.ready,
                        "restartCount": pod.restarts,
                        "state": {"running": {}},
                    }
                ],
            }
            metadata = {"name": pod.name, "namespace": self.namespace, "uid": pod.name, "labels": pod.labels}
            pod_key = ("pods", self.namespace, pod.name)
            store.objects[pod_key] = {"metadata": metadata, "spec": pod.spec, "status": status}
            store.owners.setdefault(pod_key, {})
            self.double.logs[pod.name] = self.log(pod.workload[1]) if self.ended.is_set() else ""
            event_key = ("events", self.namespace, f"{pod.name}.1")
            store.objects.pop(event_key, None)
            if pod.event:
                store.objects[event_key] = {
                    "metadata": {"name": event_key[2], "namespace": self.namespace, "uid": event_key[2]},
                    "involvedObject": {"name": pod.name},
                    "type": "Warning",
                    "reason": "Unhealthy",
                    "message": pod.event,
                }
                store.owners.setdefault(event_key, {})
            ready = sum(other.ready for other in self.pods if other.workload == pod.workload)
            wanted = live["spec"].get("replicas", 1)
            live["status"] = {
                "observedGeneration": live["metadata"]["generation"],
                "replicas": wanted,
                "updatedReplicas": wanted,
                "readyReplicas": ready,
                "availableReplicas": ready,
            }


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` as Kubernetes replaces it; `$$(NAME)` is the way to write it."""

    def one(match: re.Match[str]) -> str:
        return match[0][1:] if match[0].startswith("$$") else variables.get(match[1], match[0])

    return re.sub(r"\$?\$\((\w+)\)", one, text)


def docker(*arguments: str) -> str:
    """What the command prints; fails with what it says."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def played(double: Cluster, network: PodNetwork, namespace: str, sandbox: str, folder: Path) -> Iterator[Pods]:
    """The pods of a namespace, running until the block ends. `sandbox` is an image with Python."""
    double.store.external = True
    pods = Pods(double, network, namespace, sandbox, folder)
    try:
        pods.start()
        yield pods
    finally:
        pods.remove()


def nats_image(registry: str, program: Path) -> str:
    """An image of the NATS server in the registry, by digest."""
    name = f"{registry}/nats-{secrets.token_hex(4)}:2"
    packed = subprocess.run(
        ["tar", "-c", "-C", str(program.parent), program.name], capture_output=True, check=True
    ).stdout
    change = f'ENTRYPOINT ["/{program.name}"]'
    subprocess.run(["docker", "import", "-c", change, "-", name], input=packed, capture_output=True, check=True)
    docker("push", "-q", name)
    return docker("inspect", "-f", "{{index .RepoDigests 0}}", name)
