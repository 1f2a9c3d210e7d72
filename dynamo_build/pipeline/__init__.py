"""The verbs, each a function from values to one value: build, containerize, deploy, serve, doctor, draw and images."""
