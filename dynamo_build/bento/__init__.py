"""The bento: plan, pack, store, archive, verification, difference, and its way to a registry."""
