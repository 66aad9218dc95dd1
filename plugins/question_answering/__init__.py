"""Questions about images: data sets, metrics, and networks that look where they are asked."""
