"""Exact evaluations that are cheaper than the definition; each was measured."""
