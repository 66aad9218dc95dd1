"""Attention between two sets of different width, such as words and image regions."""
