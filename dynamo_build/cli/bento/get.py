"""`dynamo get`: one bento."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import Tag


def get(
    tag: Tag = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="text|json|yaml|name|path", help="Form of the result.")
    ] = "text",
) -> None:
    """Show one bento: its manifest, its tag, or where it lies.

    Example: dynamo get frontend -o path
    """
    from dynamo_build.bento.store import Store
    from dynamo_build.cli.options import checked_output
    from dynamo_build.errors import StoreError
    from dynamo_build.seams import default_home

    if output != "path":
        checked_output(output)
    store = Store(default_home())
    wanted = tag or store.last_built_from(Path.cwd())
    if not wanted:
        raise StoreError("no bento was built from this folder", ["Name one: see `dynamo list`."])
    bento = store.get(wanted)
    manifest = bento.manifest

    def text() -> str:
        packages = {platform: len(found) for platform, found in manifest.lock.packages.items()}
        rows = {
            "tag": manifest.tag,
            "folder": bento.folder,
            "entry": manifest.graph.target,
            "services": ", ".join(manifest.graph.names),
            "files": f"{manifest.files_count} ({console.size(manifest.files_size)})",
            "python": manifest.python,
            "packages": ", ".join(f"{count} for {platform}" for platform, count in packages.items()),
            "runtime": manifest.runtime,
        }
        return "\n".join(f"{name:9} {value}" for name, value in rows.items())

    if output == "path":
        print(bento.folder)
    else:
        console.emit(manifest, output, text=text, name=bento.tag)
