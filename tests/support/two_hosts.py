"""Two hosts on one machine: network namespaces with a cable between them. Needs root."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """One end of the cable."""

    name: str
    address: str

    def on(self, *command: str) -> list[str]:
        """The command line that runs it there."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str) -> None:
        """Run it there and wait."""
        _run(*self.on(*command))

    def lose(self, share: float) -> None:
        """Drop this share of the packets that arrive; 1: all, which is a cable that was pulled."""
        _run(*self.on(*"iptables -F INPUT".split()))
        if share >= 1:
            _run(*self.on(*"iptables -A INPUT -i cable -j DROP".split()))
        elif share:
            rule = f"iptables -A INPUT -i cable -m statistic --mode random --probability {share} -j DROP"
            _run(*self.on(*rule.split()))


def missing() -> str:
    """Why there cannot be two hosts here; "": they can be."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if shutil.which("ip") and shutil.which("iptables") else "needs ip and iptables"


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts for the length of a block; what runs on them has to be ended before."""
    mark = secrets.token_hex(3)
    hosts = Host(f"one-{mark}", "10.77.0.1"), Host(f"two-{mark}", "10.77.0.2")
    try:
        for host in hosts:
            _run("ip", "netns", "add", host.name)
            _run("ip", "-n", host.name, "link", "set", "lo", "up")
        ends = ("cable", "netns", hosts[0].name, "type", "veth", "peer", "name", "cable", "netns", hosts[1].name)
        _run("ip", "link", "add", *ends)
        for host in hosts:
            _run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "cable")
            _run("ip", "-n", host.name, "link", "set", "cable", "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
