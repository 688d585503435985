"""The verbs of the command line, one per file. Each takes its options and calls the library."""
