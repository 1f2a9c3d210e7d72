"""`dynamo image`: inspect, measure, compare, copy and rebase images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.image.documents import provenance, sbom, sign, verify
from dynamo_build.cli.image.options import ForPlatform, Insecure, Reference, find_surroundings
from dynamo_build.cli.options import OutputForm, check_output

if TYPE_CHECKING:
    from dynamo_build.image.diff_page import Area
    from dynamo_build.model.report import ImageReport

group = typer.Typer(
    name="image",
    help="Inspect, compare, copy, rebase, sign and verify images.",
    epilog="Example: dynamo image size registry.example/team/frontend:1",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TOP = 8


@group.command("inspect")
def inspect(
    reference: Reference, platform: ForPlatform = "", insecure: Insecure = None, output: OutputForm = "text"
) -> None:
    """Show the metadata, layers and attached documents of an image. No layer is downloaded.

    Example: dynamo image inspect registry.example/team/frontend:1 -o json
    """
    from dynamo_build.pipeline.images import inspect_image

    check_output(output)
    report = inspect_image(reference, platform, find_surroundings(insecure))
    console.print_result(report, output, text=lambda: _format_report(report), name=report.digest)


@group.command("size")
def size(
    reference: Reference,
    platform: ForPlatform = "",
    every: Annotated[bool, typer.Option("--all", help="Also read the layers of the base.")] = False,
    budget: Annotated[str, typer.Option(metavar="SIZE", help="Fail if the image is larger, such as 500MB.")] = "",
    picture: Annotated[str, typer.Option("--output-file", metavar="FILE", help="Write a treemap: .svg or .html.")] = "",
    insecure: Insecure = None,
    output: OutputForm = "text",
) -> None:
    """Show the size of every layer and package, optionally as a treemap.

    Example: dynamo image size registry.example/team/frontend:1 --budget 500MB --output-file sizes.html
    """
    from dynamo_build.oci.budget import parse_size
    from dynamo_build.pipeline.images import check_budget, measure_image

    check_output(output)
    limit = parse_size(budget)
    report = measure_image(reference, platform, find_surroundings(insecure), every=every)
    if picture:
        _draw_treemap(report, Path(picture))
    console.print_result(report, output, text=lambda: _format_sizes(report), name=str(report.size))
    check_budget(report, limit)


@group.command("diff")
def diff(
    before: Reference,
    after: Annotated[str, typer.Argument(metavar="REF", help="Another image.")],
    platform: ForPlatform = "",
    insecure: Insecure = None,
    form: Annotated[str, typer.Option("--format", metavar="text|html", help="Lines of text, or an HTML page.")] = "",
    output: OutputForm = "text",
) -> None:
    """Compare two images: settings, base, packages and files, and the bytes that a pull transfers.

    Example: dynamo image diff registry.example/team/frontend:1 registry.example/team/frontend:2 --format html
    """
    from dynamo_build.errors import UsageError
    from dynamo_build.pipeline.images import compare_images, pull_image

    check_output(output)
    if form not in ("", "text", "html"):
        raise UsageError(f"`{form}` is not a form of difference", ["Use text or html."])
    if form == "html" and output != "text":
        raise UsageError(f"`--format html` and `-o {output}` are two forms of the result", ["Name one of them."])
    surroundings = find_surroundings(insecure)
    first, second = pull_image(before, platform, surroundings), pull_image(after, platform, surroundings)
    found = compare_images(first, second)
    if form == "html":
        from dynamo_build.image.diff_page import render_diff_page
        from dynamo_build.image.image_report import build_report

        reports = [build_report(each.image, str(each.reference), read="own") for each in (first, second)]
        print(render_diff_page(found, reports[0], reports[1], console.format_size), end="")
        return
    lines = [f"{console.format_size(found.moved)} to move, {console.format_size(found.shared)} shared"]
    for change in found.changes:
        mark = "~" if change.before and change.after else "+" if change.after else "-"
        values = " → ".join(value for value in (change.before, change.after) if value)
        lines.append(f"{change.kind:8} {mark} {change.what}{f': {values[:120]}' if change.kind != 'file' else ''}")
    console.print_result(found, output, text="\n".join(lines), name="\n".join(change.what for change in found.changes))


@group.command("copy")
def copy(
    source: Reference,
    target: Annotated[str, typer.Argument(metavar="REF", help="The target.")],
    insecure: Insecure = None,
    output: OutputForm = "text",
) -> None:
    """Copy an image with all its platforms, signatures and documents. The digest stays the same.

    Example: dynamo image copy registry.example/team/frontend:1 oci:mirror:1
    """
    from dynamo_build.pipeline.images import copy_image

    check_output(output)
    copied = copy_image(source, target, find_surroundings(insecure), console.create_listener(output != "text"))
    console.print_result(copied, output, text=copied.reference, name=copied.reference)


@group.command("rebase")
def rebase(
    reference: Reference,
    base: Annotated[str, typer.Option("--base", metavar="REF", help="The new base.")],
    image_tag: Annotated[str, typer.Option("--image-tag", "-t", metavar="REF", help="Name of the new image.")],
    old_base: Annotated[
        str, typer.Option("--old-base", metavar="REF", help="The current base, to drop the settings it added.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Rebase even if Python, glibc, CUDA or packages differ.")
    ] = False,
    platform: ForPlatform = "",
    insecure: Insecure = None,
    output: OutputForm = "text",
) -> None:
    """Move an image to another base without rebuilding it. Its own layers are not uploaded again.

    Example: dynamo image rebase registry.example/app:1 --base registry.example/cuda:2 -t registry.example/app:1-cuda2
    """
    from dynamo_build.pipeline.images import RebaseOptions, rebase_image

    check_output(output)
    options = RebaseOptions(base=base, target=image_tag, old_base=old_base, force=force)
    listener = console.create_listener(output != "text")
    rebased = rebase_image(reference, options, platform, find_surroundings(insecure), listener)
    console.print_result(rebased, output, text=rebased.reference, name=rebased.reference)


for _command in (sbom, provenance, sign, verify):
    group.command()(_command)


def _format_report(found: ImageReport) -> str:
    lines = [f"{found.reference}", f"config     {found.config_digest}", f"platform   {found.platform}"]
    said = {
        "bento": found.bento,
        "base": found.base,
        "python": found.python,
        "bytecode": found.bytecode,
        "compressor": found.compressor,
        "user": found.user,
        "entrypoint": " ".join(found.entrypoint),
    }
    lines += [f"{name:<10} {value}" for name, value in said.items() if value]
    lines.append(f"{'size':<10} {console.format_size(found.size)}, {console.format_size(found.own)} over the base")
    lines += [f"{console.format_size(layer.size):>12}  {layer.digest[7:19]}  {layer.name}" for layer in found.layers]
    lines += [f"{'document':>12}  {document.digest[7:19]}  {document.kind}" for document in found.documents]
    return "\n".join(lines)


def _format_sizes(found: ImageReport) -> str:
    lines = [
        f"{found.reference}",
        f"{console.format_size(found.size)} shipped, {console.format_size(found.own)} of it over the base",
    ]
    for layer in found.layers:
        unpacked = f"  ({console.format_size(layer.unpacked)} unpacked, {layer.files} files)" if layer.files else ""
        lines.append(f"{console.format_size(layer.size):>12}  {layer.name}{unpacked}")
        for part in layer.parts[:_TOP]:
            lines.append(f"{'':>12}  {console.format_size(part.size):>12}  {part.name} {part.version}".rstrip())
        if len(layer.parts) > _TOP:
            rest = sum(part.size for part in layer.parts[_TOP:])
            lines.append(f"{'':>12}  {console.format_size(rest):>12}  {len(layer.parts) - _TOP} more")
    return "\n".join(lines)


def _draw_treemap(found: ImageReport, path: Path) -> None:
    from dynamo_build.errors import UsageError
    from dynamo_build.image.diff_page import render_treemap, render_treemap_page
    from dynamo_build.system import atomic

    forms = {".svg": render_treemap, ".html": render_treemap_page}
    if path.suffix not in forms:
        raise UsageError(
            f"`{path}` ends neither in .svg nor in .html", ["The picture's form follows the file's ending."]
        )
    title = f"{found.reference}: {console.format_size(found.size)}"
    atomic.write_output(path, forms[path.suffix](title, _list_areas(found)))


def _list_areas(found: ImageReport) -> list[Area]:
    from dynamo_build.image.diff_page import Area

    return [
        Area(
            name=layer.name,
            size=layer.size,
            told=console.format_size(layer.size),
            parts=tuple(
                Area(name=f"{part.name} {part.version}".strip(), size=part.size, told=console.format_size(part.size))
                for part in layer.parts
            ),
        )
        for layer in found.layers
    ]
