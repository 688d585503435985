"""The command line: turns what was typed into a verb's options, or into one line that says what is wrong.
Hydra composes the configuration. Sweeps run each combination in a separate process.
"""
