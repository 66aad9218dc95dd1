"""The attention modules on an NVIDIA GPU."""
