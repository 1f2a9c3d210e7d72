"""`dynamo login` and `dynamo logout`: credentials of registries, shared with docker."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dynamo_build.cli import console

Host = Annotated[str, typer.Argument(metavar="HOST", help="The registry, such as registry.example.")]


def login(
    host: Host,
    username: Annotated[str, typer.Option("--username", "-u", metavar="NAME", help="Prompted for when omitted.")] = "",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow plain HTTP to a registry that is not on loopback.")
    ] = False,
) -> None:
    """Log in to a registry. Credentials are verified with the registry before they are stored.

    Credentials are stored where docker stores its own: in a credential helper, else in config.json. There is no option
    for the password, because other users could see it in the process list and the shell would record it.

    Example: echo "$TOKEN" | dynamo login registry.example -u robot --password-stdin
    """
    from dynamo_build.errors import UsageError
    from dynamo_build.pipeline.login import login, parse_host

    host = parse_host(host)  # a mistyped host is refused before a password is asked for
    if password_stdin:
        if not username:
            raise UsageError("--password-stdin needs --username", ["Give the name with -u."])
        secret = sys.stdin.read().rstrip("\r\n")
    elif sys.stdin.isatty():
        username = username or typer.prompt("Username", err=True)
        secret = typer.prompt("Password", hide_input=True, err=True)
    else:
        raise UsageError("there is no terminal to ask for a password", ["Pipe it in, with --password-stdin."])
    done = login(host, username, secret, os.environ, insecure=insecure)
    console.say(f"logged in to {done.host} as {done.user}; kept in {done.place}")


def logout(host: Host) -> None:
    """Log out of a registry.

    Example: dynamo logout registry.example
    """
    from dynamo_build.pipeline.login import logout, parse_host

    name = parse_host(host)
    console.say(f"logged out of {name}" if logout(host, os.environ) else f"there was no login for {name}")
