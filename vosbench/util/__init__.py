"""Small helpers below everything else: files, errors and messages, declarations of options, worker processes."""
