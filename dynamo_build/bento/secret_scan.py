"""Secrets that would be packed: files that are known to hold one, and texts that look like one.

Text is looked for by a plain marker first, and by an expression only where the marker was seen; files that are large
or not text are known by name alone. Sources of the forms: RFC 7468 (keys), the issuers' documentation of their tokens.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dynamo.sdk.graph import Position, Problem
from dynamo_build.model.plan import PlannedFile
from dynamo_build.project.ignore import compile_pattern
from dynamo_build.system.digest import digest_bytes

LARGEST = 8 << 20
_NAMES = frozenset(
    {
        *(".env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pgpass", ".htpasswd"),
        *(".git-credentials", "credentials.json", "kubeconfig"),
    }
)
_BEGINNINGS = (".env.",)
_ENDINGS = (".env", ".p12", ".pfx", ".jks", ".keystore")
_SAMPLES = (".example", ".sample", ".template", ".dist")
_PATHS = (".aws/credentials", ".docker/config.json", ".kube/config")
#: A plain marker, what it is a sign of, and the expression (compiled when the marker is first seen).
_TOKENS: tuple[tuple[bytes, str, bytes], ...] = (
    (b"PRIVATE KEY", "a private key", rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    (b"AKIA", "an AWS access key", rb"(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    (b"ASIA", "an AWS access key", rb"(?<![A-Za-z0-9])ASIA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    (b"ghp_", "a GitHub token", rb"(?<!\w)ghp_[A-Za-z0-9]{36}(?!\w)"),
    (b"gho_", "a GitHub token", rb"(?<!\w)gho_[A-Za-z0-9]{36}(?!\w)"),
    (b"ghs_", "a GitHub token", rb"(?<!\w)ghs_[A-Za-z0-9]{36}(?!\w)"),
    (b"github_pat_", "a GitHub token", rb"(?<!\w)github_pat_\w{50,}"),
    (b"glpat-", "a GitLab token", rb"(?<![\w-])glpat-[\w-]{20,}"),
    (b"hf_", "a Hugging Face token", rb"(?<!\w)hf_[A-Za-z]{34}(?!\w)"),
    (b"nvapi-", "an NVIDIA API key", rb"(?<![\w-])nvapi-[\w-]{40,}"),
    (b"sk-", "an API key", rb"(?<![\w-])sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{32,}"),
    (b"xox", "a Slack token", rb"(?<!\w)xox[abprs]-[A-Za-z0-9-]{20,}"),
    (b"AIza", "a Google API key", rb"(?<!\w)AIza[\w-]{35}(?!\w)"),
    (b"npm_", "an npm token", rb"(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)"),
    (b"pypi-AgE", "a package index token", rb"(?<!\w)pypi-AgE[\w-]{50,}"),
    (b"sk_live_", "a Stripe key", rb"(?<!\w)sk_live_[A-Za-z0-9]{20,}"),
)
_ASSIGNED = (
    rb"(?i)(?:secret|token|passw(?:or)?d|api_?key|access_?key|private_?key|credential)[a-z0-9_]*[\"']?"
    rb"\s*[:=]\s*[\"']([A-Za-z0-9+/=_.~-]{20,})[\"']"
)
_MARKERS = (b"secret", b"token", b"passw", b"key", b"credential")
#: The bits a sign that a key has at least, and their share of the most that its length allows.
_ENTROPY, _SHARE = 3.6, 0.8
_HINT = "Leave it out by `.bentoignore`, or list it in `allow_secrets` of `[tool.dynamo.build]`."


def scan_secrets(
    project: Path, files: Iterable[PlannedFile], allowed: Iterable[str] = (), ruled: str = ""
) -> tuple[Problem, ...]:
    """Everything in the files of a project that looks like a secret, with path and line; never its text.

    `ruled` is the ruling that every file of a known digest passed: under the same one it is not looked through again.
    """
    patterns = tuple(allowed)
    if ruled == digest_rules(patterns):
        files = [file for file in files if not file.digest]
    allow = compile_pattern(patterns) if patterns else None
    found: list[Problem] = []
    folder = str(project)
    for file in files:
        if allow is not None and allow.match_file(file.path):
            continue
        if has_secret_name(file.path):
            found.append(_build_problem(file.path, 0, "a file of this name holds secrets"))
        elif file.size <= LARGEST:
            found.extend(
                _build_problem(file.path, line, f"{what} is written here")
                for line, what in _scan_file(f"{folder}/{file.path}")
            )
    return tuple(found)


def digest_rules(allowed: Iterable[str] = ()) -> str:
    """What decides about a file beside its content and path: the digest of all rules and of what is allowed."""
    rules = [sorted(_NAMES), _BEGINNINGS, _ENDINGS, _SAMPLES, _PATHS, _TOKENS, _ASSIGNED, _MARKERS]
    return digest_bytes(repr([*rules, LARGEST, _ENTROPY, _SHARE, list(allowed)]).encode())


def has_secret_name(path: str) -> bool:
    """Whether a file's name says that it holds secrets."""
    name = path.rpartition("/")[2].lower()
    if name.endswith(_SAMPLES):
        return False
    if name in _NAMES or name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS):
        return True
    if "/" not in path:
        return False
    return path.endswith(_PATHS) or ".ssh/" in path or "credentials" in path.partition("gcloud/")[2]


def find_secrets(content: bytes) -> Iterator[tuple[int, str]]:
    """(line, what it is) of everything in a text that looks like a secret."""
    told = set()
    for marker, what, pattern in _TOKENS:
        if marker in content:
            for match in re.finditer(pattern, content):
                told.add(line := content.count(b"\n", 0, match.start()) + 1)
                yield line, what
    lowered = content.lower()
    if any(marker in lowered for marker in _MARKERS):
        for match in re.finditer(_ASSIGNED, content):
            line = content.count(b"\n", 0, match.start()) + 1
            if line not in told and _is_random(match[1]):
                yield line, "a value that looks like a credential"


def _scan_file(path: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, "rb", buffering=0) as stream:
            content = stream.read(4096)
            if b"\0" in content:
                return
            while more := stream.read():
                content += more
    except OSError:
        return  # the walk has seen it; packing says what is wrong with it now
    yield from dict.fromkeys(sorted(find_secrets(content)))


def _is_random(text: bytes) -> bool:
    """Whether a value has the entropy of a key: digits and letters, near the most that its length can have."""
    counts = Counter(text)
    entropy = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    mixed = bool(re.search(rb"[0-9]", text)) and bool(re.search(rb"[A-Za-z]", text))
    return mixed and entropy > _ENTROPY and entropy > _SHARE * math.log2(len(text))


def _build_problem(path: str, line: int, message: str) -> Problem:
    return Problem(where=Position(file=path, line=line), message=message, hint=_HINT)
