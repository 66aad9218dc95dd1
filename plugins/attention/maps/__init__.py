"""The mechanisms as modules for feature maps, (N, C, H, W)."""
