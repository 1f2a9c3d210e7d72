"""A project folder: its settings, files and ignore rules, and the files generated into it."""
