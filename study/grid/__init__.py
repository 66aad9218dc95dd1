"""Grid files: which runs a question asks for."""
