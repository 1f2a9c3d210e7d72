"""The one door to the `kubernetes` client: strict models, the connection, apply, prune, wait. No rendering here."""
