"""A run: its identity, its folder, its attempts, its archive, and where its result comes from."""
