"""What was registered before the runs: claims, margins, seeds, grid; a file beside the grid."""
