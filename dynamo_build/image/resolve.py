"""Resolution of `dynamo://name:version/Service` in YAML files to images by digest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_build.errors import UsageError
from dynamo_build.model.reference import BentoTag

#: With a version; `dynamo://namespace/component` is the address of a running service and stays as it is.
_MENTION = re.compile(r"dynamo://(?P<tag>[^\s\"'/,\[\]{}]*:[^\s\"'/,\[\]{}]*)(?:/(?P<service>[^\s\"'/,\[\]{}]*))?")
_COMMENT = re.compile(r"\s*#")


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A service of a bento; a version of "" is the latest."""

    name: str
    version: str
    service: str

    def __str__(self) -> str:
        return f"dynamo://{self.name}:{self.version or 'latest'}/{self.service}"


def mentions(text: str, where: str) -> tuple[Mention, ...]:
    """Every mention outside of comments, once, in order. Raises UsageError with the line of one that is not right."""
    return tuple(dict.fromkeys(_parsed(match, where, number) for number, _, match in _found(text)))


def resolved(text: str, images: Mapping[Mention, str], where: str) -> str:
    """The text with each mention replaced; all else, comments and order too, stays byte for byte."""
    lines = text.splitlines(keepends=True)
    for number, line, match in reversed(list(_found(text))):
        reference = images[_parsed(match, where, number)]
        lines[number - 1] = line[: match.start()] + reference + lines[number - 1][match.end() :]
    return "".join(lines)


def _found(text: str) -> list[tuple[int, str, re.Match[str]]]:
    return [
        (number, line, match)
        for number, line in enumerate(text.splitlines(keepends=True), 1)
        if not _COMMENT.match(line)
        for match in _MENTION.finditer(line)
    ]


def _parsed(match: re.Match[str], where: str, number: int) -> Mention:
    hint = "Write it as `dynamo://name:version/Service`."
    try:
        tag = BentoTag.parse(match["tag"])
    except UsageError as error:
        raise UsageError(f"{where}:{number}: {error.message}", [hint]) from error
    if not (match["service"] or "").isidentifier():
        raise UsageError(f"{where}:{number}: `{match[0]}` names no service", [hint])
    return Mention(tag.name, tag.version, match["service"])
