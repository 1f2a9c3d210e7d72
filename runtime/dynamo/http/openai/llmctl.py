"""`llmctl`: which models the OpenAI service offers, and which endpoint answers for each."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec

from dynamo.http.openai.models import KINDS, Listed, ModelRegistry, parse_kind, parse_registration
from dynamo.rpc.runtime import connect
from dynamo.sdk.errors import BadRequest, RemoteError

HEADINGS = ("KIND", "MODEL", "NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCES")


async def add_model(options: argparse.Namespace) -> int:
    """Register a model."""
    model = parse_registration(options.kind, options.name, options.endpoint, options.namespace)
    async with await connect() as runtime:
        registry = ModelRegistry(runtime)
        await registry.add_model(model)
        if not await registry.count_instances(model):
            _print_line(
                f"registered `{model.name}`; no worker of {model.component} with `{model.endpoint}` is running yet"
            )
    return 0


async def list_models(options: argparse.Namespace) -> int:
    """List the models whose worker is there; all of them with `--all`."""
    wanted = parse_kind(options.kind) if options.kind else ""
    async with await connect() as runtime:
        found = [item for item in await ModelRegistry(runtime).read_all() if wanted in ("", item.registration.kind)]
    shown = [item for item in found if item.instances or options.all]
    if options.output == "json":
        rows = [{**msgspec.to_builtins(item.registration), "instances": item.instances} for item in shown]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
    elif shown:
        sys.stdout.write(_format_table(shown))
    if len(shown) < len(found):
        _print_line(f"{len(found) - len(shown)} more without a running worker; see them with --all")
    return 0


async def remove_model(options: argparse.Namespace) -> int:
    """Forget a model."""
    async with await connect() as runtime:
        if not await ModelRegistry(runtime).remove_model(options.kind, options.name):
            raise BadRequest(f"no {parse_kind(options.kind)} model `{options.name}` was registered with llmctl")
    return 0


def _format_table(items: Sequence[Listed]) -> str:
    rows = [HEADINGS]
    for item in items:
        model = item.registration
        rows.append((model.kind, model.name, model.namespace, model.component, model.endpoint, str(item.instances)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmctl", description="Say which models the OpenAI service (`dynamo http`) offers."
    )
    parser.add_argument("-n", "--namespace", default=os.environ.get("DYN_NAMESPACE", "dynamo"))
    planes = parser.add_subparsers(required=True, metavar="http")
    verbs = planes.add_parser("http", help="models behind the HTTP service").add_subparsers(required=True)
    kinds = ", ".join(KINDS)
    adding = verbs.add_parser("add", help="register a model", description="Register a model until it is removed.")
    adding.add_argument("kind", help=kinds)
    adding.add_argument("name", help="what clients ask for")
    adding.add_argument("endpoint", help="[namespace.]component.endpoint")
    adding.set_defaults(run=add_model)
    listing = verbs.add_parser("list", help="list models")
    listing.add_argument("kind", nargs="?", default="", help=kinds)
    listing.add_argument("--all", action="store_true", help="also those without a running worker")
    listing.add_argument("-o", "--output", choices=("text", "json"), default="text")
    listing.set_defaults(run=list_models)
    removing = verbs.add_parser("remove", help="forget a model")
    removing.add_argument("kind", help=kinds)
    removing.add_argument("name")
    removing.set_defaults(run=remove_model)
    return parser


def _print_line(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 with one line on stderr when it failed."""
    options = _build_parser().parse_args(arguments)
    try:
        code: int = asyncio.run(options.run(options))
    except RemoteError as error:
        _print_line(f"error: {error.message}")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
