"""`dynamo get`: show one bento."""

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
    """Show the manifest, tag or path of one bento.

    Example: dynamo get frontend -o path
    """
    from dynamo_build.bento.store import chosen
    from dynamo_build.cli.options import checked_output

    if output != "path":
        checked_output(output)
    bento = chosen(tag, Path.cwd())
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
