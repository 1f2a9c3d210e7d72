"""The target `compose`: one file for Docker Compose, all services on one host."""

from __future__ import annotations

from typing import Any

from dynamo.sdk import codec
from dynamo_build.deploy.kubernetes.objects import names, quantity
from dynamo_build.deploy.kubernetes.objects.writer import yaml_document
from dynamo_build.errors import DeployError, ToolMissing
from dynamo_build.events import Finished, Listener, Started
from dynamo_build.model.deployment import Deployment, Finding, Manifest, Manifests, Workload
from dynamo_build.seams import Surroundings

_HTTP, _SYSTEM = 8000, 9090
_TOKEN = "DYNAMO_TRANSPORT_TOKEN"  # noqa: S105 - the name of a variable
OPTIONS = {"nats_image": "nats:2", "host": "127.0.0.1", "port": str(_HTTP)}
_HEALTH = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{_SYSTEM}/health', timeout=4)"


class ComposeTarget:
    """Renders `compose.yaml`; applies it with the engine's `docker compose`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    def render(self, deployment: Deployment) -> Manifests:
        """The one file. Raises DeployError for an unknown option or a value that Compose cannot express."""
        options = _read_options(deployment)
        labels = names.service_labels(workload.service for workload in deployment.workloads)
        services: dict[str, Any] = {}
        if not deployment.nats:
            services["nats"] = _build_nats(options["nats_image"])
        for workload in deployment.workloads:
            services[labels[workload.service]] = _build_service(deployment, workload, options)
        document: dict[str, Any] = {"name": names.dns_label(deployment.name), "services": services}
        if not deployment.nats:
            document["volumes"] = {"nats": {}}
        return Manifests(
            deployment=str(document["name"]),
            namespace="",
            target=deployment.target,
            items=(Manifest(document=document, file="compose"),),
        )

    def check(self, manifests: Manifests, *, strict: bool, version: str) -> tuple[Finding, ...]:
        """Nothing: `render` refuses what Compose cannot express."""
        return ()

    def apply(self, manifests: Manifests, on: Listener) -> str:
        """`docker compose up -d`, with a transport token that is kept. Raises DeployError or ToolMissing."""
        from dynamo_build.system import process

        environment = dict(self.surroundings.environment)
        environment.setdefault(_TOKEN, self._read_token(manifests.deployment))
        command = ["docker", "compose", "-f", "-", "-p", manifests.deployment, "up", "-d", "--remove-orphans"]
        if seconds := self.surroundings.applying.wait:
            command += ["--wait", "--wait-timeout", str(int(seconds))]
        on(Started(what=f"starting {manifests.deployment}"))
        hints = ["Install Docker Engine with its Compose plugin, or render only: leave out --apply."]
        text = yaml_document(manifests.items[0].document).encode()
        try:
            process.run_program(["docker", "compose", "version"], hints=hints, environment=environment)
        except process.ProgramFailed as error:
            raise ToolMissing("this Docker has no `compose` plugin", hints) from error
        try:
            process.run_program(command, on=on, given=text, hints=hints, environment=environment)
        except process.ProgramFailed as error:
            hint = f"See `docker compose -p {manifests.deployment} logs`."
            raise DeployError(f"compose could not start {manifests.deployment}: {error.message}", [hint]) from error
        on(Finished(what=f"started {manifests.deployment}"))
        return manifests.deployment

    def _read_token(self, name: str) -> str:
        import secrets

        path = self.surroundings.cache / "compose" / f"{name}.token"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32), encoding="ascii")
            return path.read_text(encoding="ascii")
        except OSError as error:
            raise DeployError(f"cannot keep the transport token: {error.strerror or error}") from error


def _read_options(deployment: Deployment) -> dict[str, str]:
    given = {str(key).replace("-", "_"): str(value) for key, value in deployment.options.items()}
    if unknown := sorted(set(given) - set(OPTIONS)):
        raise DeployError(f"target option: compose has no `{unknown[0]}`", [f"There are {', '.join(OPTIONS)}."])
    return {**OPTIONS, **given}


def _build_nats(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "command": ["--jetstream", "--store_dir=/data", f"--auth=${{{_TOKEN}:?set it to a long random text}}"],
        "volumes": ["nats:/data"],
        "restart": "unless-stopped",
        **_build_hardening(),
    }


def _build_hardening() -> dict[str, Any]:
    return {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "read_only": True}


def _build_service(deployment: Deployment, workload: Workload, options: dict[str, str]) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": workload.image,
        "command": [workload.service],
        "environment": _build_environment(deployment, workload),
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": f"{workload.drain + 10}s",
        "tmpfs": ["/tmp"],
        "healthcheck": {
            "test": ["CMD", "python", "-c", _HEALTH],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{workload.startup}s",
        },
        "deploy": {"replicas": workload.replicas, "resources": _build_resources(workload)},
        **_build_hardening(),
    }
    if gpus := workload.resources.gpu not in ("", "0"):
        del service["read_only"]  # the GPU container hook writes into the root
        memory = quantity.parse_quantity(workload.resources.memory)
        assert memory is not None
        service["shm_size"] = str(int(memory / 2))
    if workload.entry and workload.http:
        service["ports"] = [f"{options['host']}:{options['port']}:{_HTTP}"]
    if not gpus and workload.resources.custom:
        raise DeployError(f"service {workload.service}: compose has no devices `{min(workload.resources.custom)}`")
    waits = [] if deployment.nats else ["nats"]
    if waits:
        service["depends_on"] = {name: {"condition": "service_started"} for name in waits}
    return service


def _build_environment(deployment: Deployment, workload: Workload) -> dict[str, str]:
    if workload.secrets:
        taken = {
            item.variable: f"${{{item.variable}:?the value of {item.key} in {item.secret}}}"
            for item in workload.secrets
        }
    else:
        taken = {}
    ours = {
        _TOKEN: f"${{{_TOKEN}:?set it to a long random text}}",
        "DYN_DEPLOYMENT_CONFIG": _escape_dollars(codec.encode_canonical(deployment.config).decode()),
        "DYN_REQUEST_PLANE": "tcp",
        "DYNAMO_DRAIN_SECONDS": str(workload.drain),
        "NATS_SERVER": _escape_dollars(deployment.nats or "nats://nats:4222"),
    }
    if not deployment.nats:
        ours["NATS_AUTH_TOKEN"] = ours[_TOKEN]
    theirs = {name: _escape_dollars(value) for name, value in sorted(workload.environment.items())}
    return {**ours, **theirs, **taken}


def _escape_dollars(text: str) -> str:
    """Compose reads `$` as the start of a variable."""
    return text.replace("$", "$$")


def _build_resources(workload: Workload) -> dict[str, Any]:
    wanted = workload.resources
    cpu, memory = quantity.parse_quantity(wanted.cpu), quantity.parse_quantity(wanted.memory)
    if cpu is None or memory is None:
        text = wanted.cpu if cpu is None else wanted.memory
        raise DeployError(f"service {workload.service}: `{text}` is not a quantity", ["Write `4`, `500m` or `16Gi`."])
    resources: dict[str, Any] = {"limits": {"cpus": format(cpu.normalize(), "f"), "memory": str(int(memory))}}
    if wanted.gpu not in ("", "0"):
        if not wanted.gpu.isdigit():
            raise DeployError(f"service {workload.service} asks for {wanted.gpu} GPUs; compose gives whole ones")
        device = {"driver": "nvidia", "count": int(wanted.gpu), "capabilities": ["gpu"]}
        resources["reservations"] = {"devices": [device]}
    return resources
