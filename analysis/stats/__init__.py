"""Comparable groups, the estimator, and what is judged by it. Draws and prints nothing."""
