"""Figures of the study, one kind a file."""
