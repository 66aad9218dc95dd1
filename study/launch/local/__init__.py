"""Runs on this machine, in slots."""
