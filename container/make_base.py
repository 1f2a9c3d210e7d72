"""Make a small base image from the running Python, without network: an OCI image layout. Not for production.

    python3 container/make_base.py --output FOLDER [--tag TAG]

The interpreter, its standard library, each shared library that they load, the CA certificates and a shell. The same
machine gives the same bytes: sorted names, one stamp, owner 0:0. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

STAMP = 315532800
CREATED = "1980-01-01T00:00:00Z"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
#: Debian's own Python looks for packages elsewhere than all others do.
SITE_FOLDER = "dist-packages" if Path("/usr/lib/python3/dist-packages") in map(Path, sys.path) else "site-packages"
SITE = f"/usr/local/lib/python{VERSION}/{SITE_FOLDER}"
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|turtledemo|tkinter|lib2to3|site-packages|dist-packages|config-[^/]*|ensurepip|pydoc_data)(/|$)"
    r"|(^|/)(_tkinter|_test|_ctypes_test|_xxtestfuzz|xxlimited)[^/]*\.so$|(^|/)EXTERNALLY-MANAGED$|\.(a|o)$"
)
#: What manylinux wheels take for granted (PEP 600), and what name lookups load at run time.
TAKEN_FOR_GRANTED = (
    "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0",
    "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6", "libc.so.6",
)  # fmt: skip
TOOLS = (
    "cat", "chmod", "chown", "cp", "date", "env", "grep", "head", "id", "ls", "ln", "mkdir", "mktemp", "mv", "pwd",
    "rm", "rmdir", "sed", "sleep", "sort", "tail", "test", "touch", "tr", "true", "uname", "wc",
)  # fmt: skip


class Root:
    """The files of the image by name: a source file, content or the target of a link."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, object, int]] = {}
        self.loaded: list[Path] = []

    def copy(self, name: str, source: Path, mode: int | None = None) -> None:
        source = source.resolve()
        self.files[name] = ("file", source, mode or (0o755 if os.access(source, os.X_OK) else 0o644))

    def program(self, name: str, source: Path) -> None:
        self.copy(name, source, 0o755)
        self.loaded.append(source.resolve())

    def text(self, name: str, content: str | bytes, mode: int = 0o644) -> None:
        self.files[name] = ("data", content if isinstance(content, bytes) else content.encode(), mode)

    def link(self, name: str, target: str) -> None:
        self.files[name] = ("link", target, 0o777)

    def folder(self, name: str, mode: int = 0o755) -> None:
        self.files[name] = ("folder", None, mode)


def gather() -> Root:
    """Everything that the image holds."""
    root = Root()
    _python(root)
    _shell(root)
    _libraries(root)
    _settings(root)
    for name in list(root.files):
        for parent in PurePosixPath(name).parents:
            if str(parent) != ".":
                root.files.setdefault(str(parent), ("folder", None, 0o755))
    return root


def _python(root: Root) -> None:
    executable = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    root.program(f"usr/local/bin/python{VERSION}", executable)
    for name in ("python3", "python"):
        root.link(f"usr/local/bin/{name}", f"python{VERSION}")
    library = Path(sysconfig.get_path("stdlib")).resolve()
    places = {library, Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload").resolve()}
    for place in sorted(places):
        below = PurePosixPath("lib-dynload") if place != library else PurePosixPath(".")
        for path in sorted(place.rglob("*")):
            relative = path.relative_to(place).as_posix()
            if not path.is_file() or LEFT_OUT.search(relative):
                continue
            root.copy(f"usr/local/lib/python{VERSION}/{(below / relative).as_posix()}", path)
            if ".so" in path.suffixes:
                root.loaded.append(path.resolve())
    root.folder(SITE[1:])
    wheels = [*library.glob("ensurepip/_bundled/pip-*.whl"), *Path("/usr/share/python-wheels").glob("pip-*.whl")]
    if wheels:
        with zipfile.ZipFile(max(wheels)) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    root.text(f"{SITE[1:]}/{member.filename}", archive.read(member))
        root.text(
            "usr/local/bin/pip",
            f"#!/usr/local/bin/python{VERSION}\nfrom pip._internal.cli.main import main\n\nmain()\n",
            0o755,
        )


def _shell(root: Root) -> None:
    """busybox when the machine has it; else its own shell and the tools that a Dockerfile's RUN needs."""
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    if busybox:
        root.program("bin/busybox", Path(busybox))
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in listed:
            if name != "busybox" and "/" not in name:
                root.link(f"bin/{name}", "busybox")
    else:
        for name in ("sh", *TOOLS):
            if found := shutil.which(name, path="/bin:/usr/bin"):
                root.program(f"bin/{name}", Path(found))
    for name in ("bin", "sbin"):
        root.link(f"usr/{name}", "../bin")
    root.link("sbin", "bin")


def _libraries(root: Root) -> None:
    """Every shared library of what is in the image, under the name by which it is asked for."""
    folder = f"lib/{os.uname().machine}-linux-gnu"
    found: dict[str, str] = {}
    for place in (f"/{folder}", f"/usr/{folder}", "/lib64", "/usr/lib64"):
        for name in TAKEN_FOR_GRANTED:
            if Path(place, name).exists():
                found.setdefault(name, f"{place}/{name}")
    for start in range(0, len(root.loaded), 50):
        listed = subprocess.run(
            ["ldd", *map(str, root.loaded[start : start + 50])], capture_output=True, text=True, check=False
        )
        for line in listed.stdout.splitlines():
            if match := re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line):
                found[match.group(1) or match.group(2)] = match.group(2)
    for name, path in found.items():
        # The loader is asked for by its full name, everything else is searched for.
        root.copy(name[1:] if name.startswith("/") else f"{folder}/{name}", Path(path), 0o755)
    root.link("usr/lib64", "../lib64")


def _settings(root: Root) -> None:
    for name in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if Path(name).is_file():
            root.copy("etc/ssl/certs/ca-certificates.crt", Path(name), 0o644)
            root.link("etc/ssl/cert.pem", "certs/ca-certificates.crt")
            break
    root.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    root.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    root.text("etc/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n")
    root.text(
        "etc/os-release", 'ID=dynamo-test-base\nPRETTY_NAME="Base image made from a Python, not for production"\n'
    )
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700)):
        root.folder(name, mode)
    for name in ("proc", "sys", "dev", "run"):
        root.folder(name)


def labels() -> dict[str, str]:
    """What the base provides, as the toolchain reads it."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    python = {
        "version": platform.python_version(),
        "tag": tag,
        "site": SITE,
        "executable": f"/usr/local/bin/python{VERSION}",
    }
    glibc = os.confstr("CS_GNU_LIBC_VERSION") if hasattr(os, "confstr") else ""
    return {
        "dynamo.python": _json(python).decode(),
        "dynamo.platform": _json({"glibc": (glibc or "").removeprefix("glibc ")}).decode(),
        "dynamo.packages": "[]",
        "dynamo.production": "false",
    }


def make(output: Path, tag: str) -> str:
    """Write the layout, and give the image's digest."""
    blobs = output / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layer, diff_id, size = _layer(gather(), blobs)
    environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]
    if not Path("/etc/ssl/certs/ca-certificates.crt").is_file():
        environment.pop()
    config = _json(
        {
            "created": CREATED,
            "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Env": environment, "Cmd": ["python3"], "WorkingDir": "/", "Labels": labels()},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": CREATED, "created_by": "container/make_base.py"}],
        }
    )
    kind = "application/vnd.oci.image"
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": layer, "size": size}],
        }
    )
    for content in (config, manifest):
        _write(blobs / _digest(content)[7:], content)
    entry = {
        "mediaType": f"{kind}.manifest.v1+json",
        "digest": _digest(manifest),
        "size": len(manifest),
        "platform": {"os": "linux", "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine)},
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    _write(output / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    _write(
        output / "index.json", _json({"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [entry]})
    )
    return _digest(manifest)


class _Packed:
    """A file that hashes what it is given before and after compression."""

    def __init__(self, file: object) -> None:
        self._file = file
        self._pack = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.plain, self.packed, self.size = hashlib.sha256(), hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self._out(self._pack.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out(self._pack.flush())

    def _out(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += len(data)
        self._file.write(data)  # type: ignore[attr-defined]


def _layer(root: Root, blobs: Path) -> tuple[str, str, int]:
    handle, name = tempfile.mkstemp(prefix=".new-", dir=blobs)
    with os.fdopen(handle, "wb") as file:
        packed = _Packed(file)
        with tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
            _fill(archive, sorted(root.files.items()))
        packed.finish()
    digest = f"sha256:{packed.packed.hexdigest()}"
    Path(name).chmod(0o644)
    Path(name).replace(blobs / digest[7:])
    return digest, f"sha256:{packed.plain.hexdigest()}", packed.size


def _fill(archive: tarfile.TarFile, files: Iterable[tuple[str, tuple[str, object, int]]]) -> None:
    for name, (kind, value, mode) in files:
        member = tarfile.TarInfo(name)
        member.mode, member.mtime = mode, STAMP
        if kind == "folder":
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
        elif kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, str(value)
            archive.addfile(member)
        else:
            content = value if isinstance(value, bytes) else Path(str(value)).read_bytes()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f".new-{path.name}")
    new.write_bytes(content)
    new.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="the OCI image layout to write")
    parser.add_argument("--tag", default="latest", help="the image's name in it (default: latest)")
    options = parser.parse_args()
    if sys.platform != "linux":
        print("error: a base image can only be made on Linux", file=sys.stderr)
        return 1
    try:
        digest = make(options.output, options.tag)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"error: the base image cannot be made: {error}", file=sys.stderr)
        return 1
    print(f"oci:{options.output.resolve()}:{options.tag}")
    print(digest, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
