"""What to run, where, and what became of it. Knows no framework."""
