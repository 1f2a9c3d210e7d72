"""The command line: translate flags to options, call one verb of `pipeline`, print its result."""
