"""What becomes of runs: states, rows of tables, live progress, logs, and why runs fail."""
