"""The dashboard's page and the server behind it."""
