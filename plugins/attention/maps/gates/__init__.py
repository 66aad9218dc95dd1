"""Gates on feature maps: what they let through depends on the map, a module a file."""
