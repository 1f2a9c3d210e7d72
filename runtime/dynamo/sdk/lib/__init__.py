"""Names at the addresses that the documentation gives them; nothing of its own."""
