"""Certificates for tests: an authority, and what it signed, made by the `openssl` program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REQUEST = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


class Authority:
    """An authority of its own; `sign` makes certificates for this machine's loopback address."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl")
        self.folder = folder
        self.name = name
        self.own = self._made("authority", ["-addext", "basicConstraints=critical,CA:TRUE"])

    def sign(self, name: str) -> Certificate:
        """A certificate for `name`, localhost and 127.0.0.1."""
        names = f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1"
        return self._made(name, ["-addext", names, "-CA", str(self.own.certificate), "-CAkey", str(self.own.key)])

    def _made(self, name: str, options: list[str]) -> Certificate:
        made = Certificate(self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key")
        subprocess.run(
            [*REQUEST, "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.certificate), *options],
            check=True,
            capture_output=True,
        )
        return made
