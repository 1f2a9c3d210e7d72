"""Running an image without any container engine: its layers unpacked in order, and a chroot."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from dynamo_build.oci.oci_image import OciImage

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}


def unpack(image: OciImage, root: Path) -> None:
    """Unpack the layers over each other, as a runtime would."""
    root.mkdir(parents=True, exist_ok=True)
    for layer in image.layers:
        with contextlib.closing(layer.open()) as stream:
            with tarfile.open(fileobj=cast(Any, stream), mode="r|gz") as archive:
                archive.extractall(root, filter="tar")
    for name, number in _DEVICES.items():
        if not (root / "dev" / name).exists():
            os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(*number))
            (root / "dev" / name).chmod(0o666)


@contextlib.contextmanager
def running(
    image: OciImage, root: Path, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The image's entry point as its user, with its environment and nothing of ours but what is given."""
    settings = image.settings
    user, _, group = str(settings["User"]).partition(":")
    variables = dict(item.partition("=")[::2] for item in settings["Env"]) | dict(environment)
    program, *rest = [*settings["Entrypoint"], *arguments]
    found = next(folder for folder in variables["PATH"].split(":") if (root / folder[1:] / program).exists())

    def enter() -> None:
        os.chroot(root)
        os.chdir(settings["WorkingDir"])
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))

    with log.open("wb") as said:
        process = subprocess.Popen(
            [f"{found}/{program}", *rest],
            env=variables,
            preexec_fn=enter,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
