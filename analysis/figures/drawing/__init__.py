"""What the figures are drawn with: pages, panels, labels, colours."""
