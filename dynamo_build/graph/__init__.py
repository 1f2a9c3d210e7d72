"""From source to a graph of values: discovery in a child interpreter, imports, configuration, API schemas."""
