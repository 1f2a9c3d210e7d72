"""The verbs: build, containerize, deploy, serve and doctor, each from values to a value. The only room that decides."""
