"""The verbs of the command line, one a file: each takes its options and calls the library."""
