"""A Slurm of one JSON file, for faults that a real one shows too seldom."""
