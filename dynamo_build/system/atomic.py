"""Crash-safe writing: atomic replacement, flushing, locks between processes, one-line errors."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo_build.errors import StoreError, UsageError

_HINTS = {
    errno.ENOSPC: "Free some space, or set DYNAMO_HOME to a folder on another disk.",
    errno.EDQUOT: "Free some space, or set DYNAMO_HOME to a folder on another disk.",
    errno.EFBIG: "Raise the limit on file sizes (`ulimit -f`).",
    errno.EROFS: "Set DYNAMO_HOME to a folder that can be written.",
    errno.EACCES: "Set DYNAMO_HOME to a folder that can be written.",
    errno.EPERM: "Set DYNAMO_HOME to a folder that can be written.",
}
_LOCK = "lock"
#: From this many files on, one flush of the whole file system is cheaper than one per file.
MANY = 64


def is_safe_path(name: str) -> bool:
    """Whether a name stays below the folder that it is relative to."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


@contextmanager
def reporting(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError of one line."""
    try:
        yield
    except OSError as error:
        where = f" (`{error.filename}`)" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        hint = _HINTS.get(error.errno or 0)
        raise StoreError(f"cannot {doing}: {reason}{where}", [hint] if hint else []) from error


def write(path: Path, *contents: bytes | bytearray) -> None:
    """Replace a file by one of these contents, at once or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as stream:
            for content in contents:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def put(path: Path, text: str, *, parents: bool = False) -> None:
    """Write a file that the user named: at once or not at all, and straight into a pipe or a device.

    A link stays one; the file that it leads to is replaced. With `parents` the folders above it are made.
    Raises UsageError.
    """
    try:
        if is_stream(path):
            path.write_text(text, encoding="utf-8")
        else:
            if parents:
                path.parent.mkdir(parents=True, exist_ok=True)
            write(path.resolve(), text.encode())
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}") from error


def is_stream(path: Path) -> bool:
    """Whether a name leads to what is written and never replaced: a pipe, a device, an open file (`/dev/stdout`)."""
    places = (os.path.realpath(path.parent), os.readlink(path) if path.is_symlink() else "")
    return (path.exists() and not path.is_file()) or any(place.startswith("/proc/") for place in places)


def forget(folder: Path) -> None:
    """Remove what writers that died left in a folder; no other may be writing there."""
    for name in os.listdir(folder):
        if name.startswith("."):
            os.unlink(os.path.join(folder, name))


def keep(path: Path, *contents: bytes | bytearray) -> None:
    """Write a file of a cache, which may be missing, and remove what writers that died left beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / _LOCK):
        forget(path.parent)
        write(path, *contents)


def tidy(folder: Path) -> None:
    """Remove what writers of a cache that died left behind."""
    if (folder / _LOCK).exists():
        with locked(folder / _LOCK):
            forget(folder)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path, count: int) -> None:
    """Make all of a folder durable: file by file when there are few, else the file system as a whole."""
    if count > MANY and _flush_file_system(folder):
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        flush_folder(Path(parent))


def _flush_file_system(folder: Path) -> bool:
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if function(descriptor) == 0:
            return True
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes and threads wait for; the file stays behind, empty."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock_folder(folder: Path) -> int:
    """Lock a folder for as long as the descriptor that is returned stays open.

    -1 when another holds it, or when there is none: its holder may have moved or removed it a moment ago.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
