"""Commands on the bentos of the store: list, show, compare, check, export, push and delete them."""
