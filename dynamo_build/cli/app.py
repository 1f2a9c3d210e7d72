"""The table of commands, and the only place that catches errors and exits."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from dynamo_build import __version__
from dynamo_build.cli import console
from dynamo_build.cli.click_errors import ClickException, NoArgsIsHelpError
from dynamo_build.errors import BROKEN_PIPE, INTERRUPTED, DynamoError, UsageError
from dynamo_build.system import signals


class Entry(NamedTuple):
    """Where a command lives, and the line that `dynamo --help` shows without importing it."""

    module: str
    help: str
    attribute: str = ""


COMMANDS: dict[str, Entry] = {
    "init": Entry("project.init", "Create a project from a template."),
    "serve": Entry("local.serve", "Run a graph on this machine."),
    "http": Entry("local.http", "Serve the OpenAI API for the running graph."),
    "status": Entry("local.status", "Show running graphs on this machine."),
    "logs": Entry("local.status", "Print the log of a running graph.", "logs"),
    "restart": Entry("local.status", "Replace the workers of a running graph one by one.", "restart"),
    "dashboard": Entry("local.dashboard", "Show a running graph on a web page."),
    "build": Entry("build", "Package a graph as a versioned bento."),
    "containerize": Entry("containerize", "Build an image from a bento."),
    "image": Entry("image.group", "Inspect, compare, copy, rebase, sign and verify images.", "group"),
    "deploy": Entry("deploy", "Render manifests for a bento, and optionally apply them."),
    "resolve": Entry("resolve", "Replace service names in YAML by image digests."),
    "deployment": Entry("deployment.commands", "Inspect and change deployments on a cluster.", "group"),
    "list": Entry("bento.list", "List the bentos in the store."),
    "get": Entry("bento.get", "Show one bento."),
    "delete": Entry("bento.delete", "Delete bentos from the store."),
    "verify": Entry("bento.verify", "Check every file of a bento against its digest."),
    "diff": Entry("bento.diff", "Compare two bentos."),
    "tree": Entry("bento.tree", "Show the services of a bento and their dependencies."),
    "graph": Entry("graph", "Draw the services of a graph and their dependencies."),
    "export": Entry("bento.export", "Write a bento to one file.", "export"),
    "import": Entry("bento.export", "Import a bento from a file into the store.", "take"),
    "push": Entry("bento.push", "Push a bento to a registry.", "push"),
    "pull": Entry("bento.push", "Pull a bento from a registry.", "pull"),
    "doctor": Entry("doctor", "Check this machine's prerequisites."),
    "env": Entry("project.env", "Show versions and effective settings."),
    "login": Entry("login", "Log in to a registry."),
    "logout": Entry("login", "Log out of a registry.", "logout"),
    "ci": Entry("project.ci", "Write pipelines that publish images.", "group"),
    "gc": Entry("bento.gc", "Remove leftovers of interrupted builds, and optionally old versions."),
}


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one only to run it or to show its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"dynamo_build.cli.{entry.module}")
        loaded = getattr(module, entry.attribute or cmd_name)
        if isinstance(loaded, typer.Typer):
            return typer.main.get_command(loaded)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        settings = {"help_option_names": ["-h", "--help"]}
        kind = getattr(module, "command_class", TyperCommand)
        single.command(cmd_name, cls=kind, context_settings=settings)(loaded)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    name="dynamo",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        print(f"dynamo {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: dynamo serve hello_world:Frontend")
def dynamo(
    version: bool = typer.Option(
        False, "--version", "-v", help="Show the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Package, containerize and deploy graphs of Python services."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code of what happened."""
    signals.install_handler()
    try:
        code = run(arguments)
        late = signals.ignore_interrupts()
    except KeyboardInterrupt:
        signals.ignore_interrupts()
        late = True
    if late:
        console.print_line("interrupted")
        code = INTERRUPTED
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit code. Bugs are not caught: they keep their traceback."""
    console.accept_encodings(sys.stdout, sys.stderr)
    try:
        _refuse_foreign_runtime()
        result = app(args=arguments, prog_name="dynamo", standalone_mode=False)
        if result == INTERRUPTED:  # typer turns Ctrl-C into this code, without a word
            console.print_line("interrupted")
        return result if isinstance(result, int) else 0
    except DynamoError as error:
        console.show_error(error)
        return error.exit_code
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except ClickException as error:
        hint = "See `dynamo --help`."
        context = getattr(error, "ctx", None)
        if context is not None:
            hint = f"See `{context.command_path} --help`."
        console.show_error(UsageError(_format_sentence(error.format_message()), [hint]))
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        console.print_line("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away; the interpreter's last flush must not fail
        return BROKEN_PIPE
    except Exception as error:
        if not signals.is_interrupt(error):
            raise
        console.print_line("interrupted")
        return INTERRUPTED


def _format_sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _refuse_foreign_runtime() -> None:
    import dynamo

    if getattr(dynamo, "DISTRIBUTION", "") != "dynamo-runtime":
        where = next(iter(getattr(dynamo, "__path__", [])), "?")
        raise UsageError(
            f"the `dynamo` package in `{where}` does not belong to Dynamo build",
            ["Another distribution provides it (ai-dynamo?): uninstall that, or use a separate environment."],
        )
