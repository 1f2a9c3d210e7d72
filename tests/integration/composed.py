"""Plays a compose file in a real engine that has no Compose: one container each, on a network of their own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from integration.pod_network import Address, PodNetwork
from integration.pods import docker

#: All that is read of a service; the file is refused when it holds more, so that nothing is left out unseen.
_KNOWN = {"image", "command", "environment", "volumes", "tmpfs", "cap_drop", "security_opt", "read_only", "healthcheck",
          "init", "restart", "stop_grace_period", "deploy", "ports", "depends_on"}  # fmt: skip


class Composed:
    """The containers of a file, by service."""

    def __init__(self, document: Mapping[str, Any], network: PodNetwork) -> None:
        self.services: Mapping[str, Mapping[str, Any]] = document["services"]
        assert {key for service in self.services.values() for key in service} <= _KNOWN
        self.network = network
        self.addresses: dict[str, Address] = {name: network.address(name, {}) for name in self.services}
        self.containers: dict[str, str] = {}
        self.sandboxes: list[str] = []

    def start(self, variables: Mapping[str, str], sandbox: str, folder: Path) -> None:
        hosts = folder / "hosts"
        hosts.write_text(
            "127.0.0.1 localhost\n" + "".join(f"{one.ip} {name}\n" for name, one in self.addresses.items())
        )
        for name, service in self.services.items():
            quick = ["--entrypoint", "python", sandbox, "-c", "import signal; signal.pause()"]
            self.sandboxes.append(docker("run", "-d", "--network", "none", *quick))
            self.network.join(self.addresses[name], int(docker("inspect", "-f", "{{.State.Pid}}", self.sandboxes[-1])))
            command = ["run", "-d", "--network", f"container:{self.sandboxes[-1]}", "-v", f"{hosts}:/etc/hosts:ro"]
            command += ["--init"] if service.get("init") else []
            command += ["--read-only"] if service.get("read_only") else []
            command += [f"--cap-drop={one}" for one in service.get("cap_drop") or ()]
            command += [f"--security-opt={one}" for one in service.get("security_opt") or ()]
            command += [f"--tmpfs={one}:mode=1777" for one in service.get("tmpfs") or ()]
            for volume in service.get("volumes") or ():
                source, _, target = volume.partition(":")
                (folder / source).mkdir(exist_ok=True)
                command.append(f"-v={folder / source}:{target}")
            for key, value in (service.get("environment") or {}).items():
                command += ["-e", f"{key}={_filled(value, variables)}"]
            if memory := ((service.get("deploy") or {}).get("resources") or {}).get("limits", {}).get("memory"):
                command += ["-m", memory]
            words = [_filled(word, variables) for word in service.get("command") or ()]
            self.containers[name] = docker(*command, service["image"], *words)

    def healthy(self, seconds: float) -> bool:
        """Whether the health check of every service that has one passes in time."""
        deadline = time.monotonic() + seconds
        waiting = {
            name: service["healthcheck"]["test"] for name, service in self.services.items() if "healthcheck" in service
        }
        while waiting and time.monotonic() < deadline:
            for name, (kind, *test) in list(waiting.items()):
                assert kind == "CMD"
                command = ["docker", "exec", self.containers[name], *test]
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    del waiting[name]
            time.sleep(0.3)
        return not waiting

    def remove(self) -> None:
        for name in (*self.containers.values(), *self.sandboxes):
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` and `${NAME:?why}` as Compose fills them; `$$` is a dollar sign."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables[match[1]]

    return re.sub(r"\$\$|\$\{(\w+)(?::\?[^}]*)?\}", one, text)


@contextlib.contextmanager
def composed(
    document: Mapping[str, Any], network: PodNetwork, variables: Mapping[str, str], sandbox: str, folder: Path
) -> Iterator[Composed]:
    """The services of a file, running until the block ends. `sandbox` is an image with Python."""
    made = Composed(document, network)
    try:
        made.start(variables, sandbox, folder)
        yield made
    finally:
        made.remove()
