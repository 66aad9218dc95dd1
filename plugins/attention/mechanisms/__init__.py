"""The registered mechanisms, one file each; a new file is found by itself."""
