"""Running an unpacked image with runc alone: a bundle written from the image's own config, no engine, host network."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from dynamo_build.oci.oci_image import OciImage

_MOUNTS = (
    ("/proc", "proc", ()),
    ("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777")),
    ("/tmp", "tmpfs", ("nosuid", "nodev", "mode=1777")),
)


def bundle(
    image: OciImage, folder: Path, environment: Mapping[str, str], arguments: tuple[str, ...], user: str = ""
) -> None:
    """Write `config.json` beside `rootfs`: read-only root, no capability, the image's user unless another is given."""
    settings = image.settings
    number, _, group = (user or str(settings["User"])).partition(":")
    variables = dict(item.partition("=")[::2] for item in settings["Env"]) | dict(environment)
    document = {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": int(number), "gid": int(group)},
            "args": [*settings["Entrypoint"], *arguments],
            "env": [f"{name}={value}" for name, value in variables.items()],
            "cwd": settings["WorkingDir"],
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": place, "type": kind, "source": kind, "options": list(options)}
            for place, kind, options in _MOUNTS
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }
    (folder / "config.json").write_text(json.dumps(document))


@contextlib.contextmanager
def running(program: str, folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A container of the bundle; killed and deleted by its own name afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    runc = [program, "--root", str(folder / "state")]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*runc, "run", "--bundle", str(folder), name], stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            subprocess.run([*runc, "kill", name, "TERM"], capture_output=True, check=False)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)
            process.kill()
            process.wait()
