"""Mechanisms over several groups: mean gain, ranks, probability of improvement."""
