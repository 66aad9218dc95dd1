"""The mechanisms of this package, a file each; pyproject.toml names them as entry points."""
