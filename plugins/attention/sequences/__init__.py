"""The mechanisms as modules for sequences, (N, T, C)."""
