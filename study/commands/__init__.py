"""The verbs of `study`, one file a family. Heavy imports stay inside the functions."""
