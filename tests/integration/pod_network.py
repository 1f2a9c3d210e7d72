"""A network for pods in a namespace of its own: an address each, routes between them, NetworkPolicies enforced.

The machine's own network stays as it is. The namespace stands for the node, so probes from it pass every policy.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

_NODE = "10.244.0.1"
_NEW_NET = 0x40000000
Result = TypeVar("Result")


@dataclass(frozen=True)
class Address:
    """A pod on the network."""

    pod: str
    ip: str
    labels: Mapping[str, str]


class PodNetwork:
    """Made by `pod_network`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pods: list[Address] = []

    def address(self, pod: str, labels: Mapping[str, str]) -> Address:
        """The address that a pod will have."""
        found = Address(pod, f"10.244.1.{len(self.pods) + 1}", labels)
        self.pods.append(found)
        return found

    def join(self, address: Address, process: int) -> None:
        """Plug a process's own network namespace in."""
        link = f"pod{self.pods.index(address)}"
        _run(
            "ip", "link", "add", link, "netns", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(process)
        )
        for command in (
            f"addr add {_NODE}/32 dev {link}",
            f"link set {link} up",
            f"route add {address.ip}/32 dev {link}",
        ):
            _run("ip", "-n", self.name, *command.split())
        inside = (f"addr add {address.ip}/32 dev eth0", "link set eth0 up", "link set lo up", f"route add {_NODE} dev eth0",
                  f"route add default via {_NODE}")  # fmt: skip
        for command in inside:
            _run("nsenter", f"--net=/proc/{process}/ns/net", "ip", *command.split())

    def enforce(self, policies: Sequence[Mapping[str, Any]]) -> None:
        """Refuse between pods what no policy allows to a pod that policies select."""
        rules = ["-F FORWARD", "-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT"]
        for direction, theirs, ours, field in (("Ingress", "-s", "-d", "from"), ("Egress", "-d", "-s", "to")):
            closed: dict[str, None] = {}
            for policy in policies:
                spec = policy["spec"]
                if direction not in spec["policyTypes"]:
                    continue
                for pod in self._selected(spec["podSelector"]):
                    closed[pod.ip] = None
                    for rule in spec.get(direction.lower()) or ():
                        for peer in self._peers(rule.get(field)):
                            for port in rule.get("ports") or [{}]:
                                rules.append(f"-A {direction} {ours} {pod.ip} {theirs} {peer}{_port(port)} -j RETURN")
            rules += [f"-A {direction} {ours} {ip} -p tcp -j REJECT --reject-with tcp-reset" for ip in closed]
        for chain in ("Ingress", "Egress"):
            _run("ip", "netns", "exec", self.name, "iptables", "-N", chain, check=False)
            rules.append(f"-A FORWARD -j {chain}")
        for rule in rules:
            _run("nsenter", f"--net=/run/netns/{self.name}", "iptables", *rule.split())

    def on_node(self, work: Callable[[], Result]) -> Result:
        """Run a function in a thread that is on the node's network."""
        found: list[Result] = []
        failed: list[BaseException] = []

        def enter() -> None:
            handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(handle, _NEW_NET):
                    raise OSError(ctypes.get_errno(), "setns")
                found.append(work())
            except BaseException as error:
                failed.append(error)
            finally:
                os.close(handle)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]

    def _selected(self, selector: Mapping[str, Any]) -> list[Address]:
        assert set(selector) <= {"matchLabels"}, selector
        return [pod for pod in self.pods if (selector.get("matchLabels") or {}).items() <= pod.labels.items()]

    def _peers(self, peers: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
        if peers is None:
            yield "0.0.0.0/0"
        for peer in peers or ():
            if "ipBlock" in peer:
                yield peer["ipBlock"]["cidr"]
            elif "namespaceSelector" not in peer:
                yield from (pod.ip for pod in self._selected(peer["podSelector"]))


def _port(port: Mapping[str, Any]) -> str:
    return f" -p {port.get('protocol', 'TCP').lower()} --dport {port['port']}" if port else ""


@contextmanager
def pod_network() -> Iterator[PodNetwork]:
    """A network that goes with its namespace. Needs root."""
    name = f"pods-{secrets.token_hex(4)}"
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield PodNetwork(name)
    finally:
        _run("ip", "netns", "delete", name)


def _run(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
