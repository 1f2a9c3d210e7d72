"""The child interpreter of discovery: imports an author's module and describes its graph. Images never import it."""
