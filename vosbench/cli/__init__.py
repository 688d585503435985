"""The command line: what was typed becomes a verb's options, or one line that says what is wrong with it.
Hydra composes; sweeps run every combination as a process of its own.
"""
