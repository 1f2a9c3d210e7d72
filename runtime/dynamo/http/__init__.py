"""The HTTP front of services that have `@api` methods, and the health pages of all."""
