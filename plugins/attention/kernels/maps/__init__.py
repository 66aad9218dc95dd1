"""Forms of generalized attention over feature maps."""
