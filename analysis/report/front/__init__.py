"""What the first page of the report tells: findings, figures, verdicts, means and changes."""
