"""Where jobs run: beside this process, under Slurm, or on a Ray cluster. Each is a command in its own process."""
