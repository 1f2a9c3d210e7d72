"""The operating system: files, processes, signals, digests, YAML and templates."""
