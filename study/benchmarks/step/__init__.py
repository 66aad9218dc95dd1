"""Whole steps of training, beside those of the frameworks' own models."""
