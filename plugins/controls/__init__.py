"""Positive controls: scenes that only a term of attention can solve, and a network for them."""
