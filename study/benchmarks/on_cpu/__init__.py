"""The attention modules on a CPU."""
