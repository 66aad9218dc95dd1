"""From run folders to the runs table."""
