"""Runs on disk: the identity of a result (code, settings, data, weights), names of run folders, and work claims."""
