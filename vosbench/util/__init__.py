"""Small helpers below everything else: files, errors and messages, progress, worker processes."""
