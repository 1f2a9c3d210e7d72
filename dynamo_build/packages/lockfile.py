"""dynamo.lock: exact packages with hashes, one section per platform, and the digest of what was asked for.

The format: comment lines (`# dynamo.lock 1`, `# input sha256:…`, `# python 3.11`, `# base …` where the project declares
a base image), then per platform `# platform linux/amd64` and lines of a requirements file (`name==version`), each hash
on a line of its own; before a package that travels as a wheel `# wheel FILE`, and ` from git+…@commit` where it was
built from there. It holds no index address and no host. Source of names: the normalisation rule of PEP 503.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dynamo.sdk import codec
from dynamo_build.errors import LockError
from dynamo_build.model.plan import Lock, LockedPackage, Requirements
from dynamo_build.system.digest import digest_bytes

NAME = "dynamo.lock"
FORMAT = 1
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*"
    r"(?:===?\s*(?P<version>[A-Za-z0-9.!+_-]+)|@\s*(?P<source>\S+))\s*(?:;\s*(?P<marker>.+))?"
)
_HASH = re.compile(r"\s--hash=(sha256:[0-9a-f]{64})(?=\s|$)")
_WHEEL = re.compile(r"# wheel (?P<file>[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl)(?: from (?P<source>\S+))?")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_HINT = "Build with `--upgrade` to write it anew."


def normalize_name(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def digest_requirements(wanted: Requirements) -> str:
    """The digest of everything that decides a lock but the state of the index."""
    question: dict[str, object] = {
        "format": FORMAT,
        "lines": sorted(set(wanted.lines)),
        "constraints": sorted(set(wanted.constraints)),
        "python": wanted.python,
        "platforms": sorted(wanted.platforms),
    }
    if wanted.local:
        question["local"] = sorted([each.name, each.digest] for each in wanted.local)
    return digest_bytes(codec.encode_canonical(question))


def format_requirements(packages: Iterable[LockedPackage]) -> str:
    """Packages as lines of a requirements file, with hashes."""
    return "".join(_format_pin(package) for package in packages)


def parse_requirements(text: str, where: str) -> tuple[LockedPackage, ...]:
    """Packages of an exact requirements file in the order of their names. Raises LockError naming the line."""
    found: dict[tuple[str, str], LockedPackage] = {}
    wheels = {number: _WHEEL.fullmatch(line) for number, line in enumerate(text.splitlines(), 2) if "# wheel" in line}
    for number, line in join_lines(text):
        hashes = tuple(sorted(_HASH.findall(line)))
        match = _PIN.fullmatch(_HASH.sub("", line).strip())
        if match is None:
            raise LockError(f"{where}:{number}: `{line.split(' ')[0]}` is not an exact package", [_HINT])
        package = LockedPackage(
            name=normalize_name(match["name"]),
            version=match["version"] or "",
            hashes=hashes,
            marker=(match["marker"] or "").strip(),
            source=match["source"] or "",
        )
        if wheel := wheels.get(number):
            package = replace(package, wheel=wheel["file"], source=wheel["source"] or "")
        found[package.name, package.marker] = package
    return tuple(found[key] for key in sorted(found))


def format_lock(lock: Lock, wanted: Requirements) -> bytes:
    """The text of dynamo.lock."""
    head = [f"# dynamo.lock {FORMAT}", f"# input {digest_requirements(wanted)}", f"# python {lock.python}"]
    head += [f"# base {wanted.base}"] if wanted.base else []
    parts = ["\n".join(head) + "\n"]
    for platform in sorted(lock.packages):
        parts.append(
            f"# platform {platform}\n{''.join(_format_package(package) for package in lock.packages[platform])}"
        )
    return "".join(parts).encode()


def read_lock(path: Path) -> tuple[str, Lock]:
    """The digest of what a dynamo.lock was asked for, and the lock. Raises LockError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{path.name} cannot be read: {error}", [_HINT]) from error
    sections = re.split(r"^# platform (\S+)\n", text, flags=re.MULTILINE)
    head = dict(re.findall(r"^# (dynamo\.lock|input|python) (\S+)$", sections[0], re.MULTILINE))
    if head.get("dynamo.lock") != str(FORMAT) or "python" not in head:
        raise LockError(f"{path.name} has no head that this version knows", [_HINT])
    packages = {
        name: parse_requirements(body, path.name) for name, body in zip(sections[1::2], sections[2::2], strict=True)
    }
    return head.get("input", ""), Lock(python=head["python"], packages=packages, written=str(path))


def is_lock_current(path: Path, wanted: Requirements) -> bool:
    """Whether the dynamo.lock of that path answers exactly this question."""
    try:
        with path.open(encoding="utf-8") as stream:
            head = stream.read(400)
    except (OSError, UnicodeDecodeError):
        return False
    return head.startswith(f"# dynamo.lock {FORMAT}\n# input {digest_requirements(wanted)}\n")


def read_base(path: Path) -> str:
    """The base image, by its digest, that the dynamo.lock of that path was made for; "" when it names none."""
    try:
        with path.open(encoding="utf-8") as stream:
            head = stream.read(4000).partition("\n# platform ")[0]
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.search(r"^# base (\S+@sha256:[0-9a-f]{64})$", head, re.MULTILINE)
    return match[1] if match else ""


def without_credentials(text: str) -> str:
    """A text with no user and no password in its addresses."""
    return _CREDENTIALS.sub("", text)


def _format_package(package: LockedPackage) -> str:
    source = f" from {package.source}" if package.source else ""
    return (f"# wheel {package.wheel}{source}\n" if package.wheel else "") + _format_pin(package)


def _format_pin(package: LockedPackage) -> str:
    pin = (
        f"{package.name} @ {package.source}"
        if package.source and not package.wheel
        else f"{package.name}=={package.version}"
    )
    marker = f" ; {package.marker}" if package.marker else ""
    return pin + marker + "".join(f" \\\n    --hash={value}" for value in package.hashes) + "\n"


def join_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a requirements file with their numbers: continued ones joined, comments and empty ones left out."""
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not pending:
            first = number
        if stripped.startswith("#") or (not stripped and not pending):
            continue
        pending = f"{pending} {stripped.removesuffix(chr(92)).rstrip()}".strip()
        if not stripped.endswith("\\"):
            yield first, pending
            pending = ""
    if pending:
        yield first, pending
