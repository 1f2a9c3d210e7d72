"""Manifests as text and as files, with the one thing that they do not hold: how to make the transport token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dynamo_build.deploy.kubernetes.objects.object_layout import TOKEN_KEY
from dynamo_build.deploy.kubernetes.objects.writer import json_documents, yaml_documents
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.model.deployment import Manifests
from dynamo_build.system import signals
from dynamo_build.system.atomic import is_safe_path
from dynamo_build.system.scratch import create_scratch_folder

FORMATS = ("yaml", "json")
#: Forms that are folders.
TREES = ("kustomize", "helm")
#: Lists the files of an earlier run, so that a later one never leaves an object behind that is gone from the graph.
_LISTING = ".dynamo-manifests"
#: How the folder begins in which a run writes all that it moves into place at its end.
_STAGED = ".dynamo-staged-"


def check_form(form: str, folder: str = "") -> str:
    """The form, refused before any work is done; a `folder` allows those that are folders. Raises UsageError."""
    if form in TREES and not folder:
        raise UsageError(f"the form `{form}` is a folder", ["Name one with --output-dir."])
    if form not in (*FORMATS, *TREES):
        raise UsageError(f"`{form}` is not a form of manifests", [f"Use {', '.join((*FORMATS, *TREES))}."])
    return form


def render_manifests(manifests: Manifests, form: str) -> str:
    """All documents as one text. Raises UsageError for an unknown form."""
    documents = [item.document for item in manifests.items]
    if check_form(form) == "json":
        return (
            json_documents(documents) if len(documents) > 1 or "kind" in documents[0] else _format_single(documents[0])
        )
    return "".join(f"# {line}\n" for line in format_heading(manifests)) + yaml_documents(documents)


def format_heading(manifests: Manifests) -> Iterator[str]:
    """What the reader of the YAML must do first."""
    for name in sorted(find_token_secrets([item.document for item in manifests.items])):
        yield f"These objects need the Secret {name}. `dynamo deploy --apply` makes it; by hand:"
        yield (
            f"kubectl -n {manifests.namespace} create secret generic {name} "
            f'--from-literal={TOKEN_KEY}="$(openssl rand -hex 32)"'
        )


def render_per_object(manifests: Manifests, form: str) -> dict[str, str]:
    """Names and texts of files, one per document, numbered in the order of applying. Raises UsageError."""
    check_form(form)
    found: dict[str, str] = {}
    for number, item in enumerate(manifests.items, 1):
        name = f"{number:03d}-{item.file}" if len(manifests.items) > 1 else item.file
        one = Manifests(
            deployment=manifests.deployment, namespace=manifests.namespace, target=manifests.target, items=(item,)
        )
        found[f"{name}.{form}"] = _format_single(item.document) if form == "json" else render_manifests(one, form)
    return found


def write_files(texts: Mapping[str, str], folder: Path) -> tuple[Path, ...]:
    """Write files and remove those of an earlier run: all of it, or, when it fails or is interrupted, nothing.

    Raises UsageError for a folder of somebody else's, DeployError for one that cannot be written.
    """
    for name in texts:  # a target of another distribution chooses the names
        if not is_safe_path(name):
            raise DeployError(
                f"the target names a file `{name}`, which is outside the folder", ["Report it to its authors."]
            )
    new = not folder.exists()
    try:
        before = _list_own_files(folder)
        parents = {Path(name).parent for name in texts}
        with create_scratch_folder(folder, _STAGED) as staged:
            files = staged / "files"
            _create_implementation(files, parents)
            for name, text in texts.items():
                (files / name).write_text(text, encoding="utf-8")
            (staged / "union").write_text(_format_listing({*before, *texts}), encoding="utf-8")
            (staged / "listing").write_text(_format_listing(texts), encoding="utf-8")
            with signals.defer_signals():
                (staged / "union").replace(folder / _LISTING)  # to one that is killed here, all of it is ours
                _create_implementation(folder, parents)
                for name in texts:
                    (files / name).replace(folder / name)
                for name in before - set(texts):
                    (folder / name).unlink(missing_ok=True)
                (staged / "listing").replace(folder / _LISTING)
    except OSError as error:
        raise DeployError(f"cannot write into `{folder}`: {error.strerror or error}") from error
    finally:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # of a run that wrote nothing; another is not empty
    return tuple(folder / name for name in texts)


def _list_own_files(folder: Path) -> frozenset[str]:
    """The files of an earlier run, those of one that was killed among them. Raises UsageError for any other."""
    listing = folder / _LISTING
    before = frozenset(listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else ())
    names = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    present = {str(name) for name in names if not name.parts[0].startswith(_STAGED)}
    if strangers := present - {*before, _LISTING}:
        message = f"the folder `{folder}` holds `{min(strangers)}`, which is not ours"
        raise UsageError(message, ["Name an empty or a new folder with --output-dir."])
    return before & present


def _format_listing(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _create_implementation(folder: Path, parents: Iterable[Path]) -> None:
    for parent in parents:
        (folder / parent).mkdir(parents=True, exist_ok=True)


def _format_single(document: Mapping[str, Any]) -> str:
    from dynamo.sdk import codec

    return codec.encode_pretty(document) + "\n"


def find_token_secrets(value: Any) -> frozenset[str]:
    """The Secrets that hold a transport token, wherever a container reads DYNAMO_TRANSPORT_TOKEN."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("name") == "DYNAMO_TRANSPORT_TOKEN":
                reference = (node.get("valueFrom") or {}).get("secretKeyRef") or {}
                if reference.get("key") == TOKEN_KEY:
                    found.add(str(reference["name"]))
            else:
                waiting += [item for item in node.values() if isinstance(item, (dict, list))]
        elif isinstance(node, list):
            waiting += node
    return frozenset(found)
