"""Commands on the bentos of the store: list, show, compare, verify, export, push and delete them."""
