"""Packages that a project names by a path: name and digest.

Sources: PEP 508 (`name @ file:…`), the requirements file format of pip (a bare path), PEP 427 (names of wheels).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dynamo_build.errors import UsageError
from dynamo_build.model.plan import LocalPackage
from dynamo_build.packages import lockfile
from dynamo_build.project.files import survey
from dynamo_build.project.settings import read_toml
from dynamo_build.system.digest import digest_bytes, digest_file, format_digests

_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*@\s*(?P<path>\S+)")
_ENDINGS = (".whl", ".tar.gz", ".zip")


def local_path(line: str) -> str:
    """The path that a requirement names; "" when it names a package of an index or of git."""
    match = _NAMED.fullmatch(line)
    path = match["path"] if match else line
    if path.startswith("file:"):
        return unquote(urlsplit(path).path)
    if path.startswith(("./", "../", "/")) or path in (".", ".."):
        return path
    return path if path.endswith(_ENDINGS) and "://" not in path and not match else ""


def local_package(project: Path, path: str) -> LocalPackage | str:
    """The package at a path, or what is wrong with it."""
    where = project / path
    if where.is_file():
        if where.suffix != ".whl":
            return "only wheels and folders can be packed"
        name = where.name.partition("-")[0]
        return LocalPackage(name=lockfile.normalised(name), path=path, digest=digest_file(where))
    if not where.is_dir():
        return "nothing lies there"
    if os.path.realpath(project).startswith(os.path.realpath(where)):
        return "it is the project itself, which is packed anyway"
    try:
        table = read_toml(where / "pyproject.toml").get("project", {})
    except UsageError as error:
        return error.message
    name = table.get("name", "") if isinstance(table, dict) else ""
    if not isinstance(name, str) or not name:
        return "its pyproject.toml has no `name`"
    found = survey(str(where))
    if found.problems:
        return f"{found.problems[0].where}: {found.problems[0].message}"
    digests = [(file.path, digest_file(where / file.path)[7:]) for file in found.files]
    return LocalPackage(name=lockfile.normalised(name), path=path, digest=digest_bytes(format_digests(digests)))
