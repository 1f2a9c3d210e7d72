"""Two services: the frontend and the English greeter."""

from greeters import English
from greeting import Frontend

__all__ = ["Frontend"]

Frontend.link(English)
