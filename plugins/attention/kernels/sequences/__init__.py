"""Forms of generalized attention over sequences."""
