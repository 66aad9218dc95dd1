"""Published sets that are prepared from their users' copies."""
