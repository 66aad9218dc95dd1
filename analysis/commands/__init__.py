"""The verbs of the analysis, one a file."""
