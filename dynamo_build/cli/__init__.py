"""The command line: parse, call one function of `pipeline`, print one thing. Nothing else is decided here."""
