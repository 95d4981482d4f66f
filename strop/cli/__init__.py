"""The command line: `strop`."""
