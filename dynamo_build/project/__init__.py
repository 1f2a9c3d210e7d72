"""An author's project folder: its settings, files and ignore rules, and what is written into it."""
