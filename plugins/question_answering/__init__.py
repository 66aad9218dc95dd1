"""Questions about images, and phrases that name something in them: data sets and their metrics."""
