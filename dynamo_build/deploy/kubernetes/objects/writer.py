"""Manifests as text: YAML documents and JSON lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from dynamo_build.errors import DeployError
from dynamo_build.system.yaml import emit_yaml, is_plain_key, quote_yaml

#: Keys that stay bare are words of letters. Bytes of written manifests are compared, so the set does not change.
_BARE_KEY = re.compile(r"[A-Za-z][A-Za-z_]{2,}", re.ASCII)
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def yaml_documents(documents: Iterable[Mapping[str, Any]]) -> str:
    """All documents as one YAML stream."""
    return "---\n".join(yaml_document(document) for document in documents)


def yaml_document(document: Mapping[str, Any]) -> str:
    """One document in block style. Raises DeployError for what is not JSON."""
    try:
        return emit_yaml(document, _key, quoted)
    except TypeError as error:
        raise DeployError(f"{error} into a manifest") from error


def json_documents(documents: Iterable[Mapping[str, Any]]) -> str:
    """All documents as one `List`, which kubectl reads as it reads a YAML stream."""
    listing = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    return json.dumps(listing, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@lru_cache(4096)
def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) and is_plain_key(key) else quoted(key)


def quoted(text: str) -> str:
    """A YAML double-quoted scalar that is also readable: printable characters stay as they are."""
    return quote_yaml(text, _NAMED)
