"""Small helpers without dependencies, below everything else: files, messages, errors, worker processes."""
