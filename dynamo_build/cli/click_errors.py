"""The errors of the click that typer ships: the only import of a private name of typer.

typer bundles click and re-exports neither error. Should a later typer move them, this module is the one to change.
"""

from typer._click.exceptions import ClickException, NoArgsIsHelpError

__all__ = ["ClickException", "NoArgsIsHelpError"]
