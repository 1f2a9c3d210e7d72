"""Three services: one link leaves the greeter's own dependency as it is."""

from greeters import German
from greeting import Frontend

__all__ = ["Frontend"]

Frontend.link(German)
