"""What `study` and the plugins know of each other. Imports no framework."""
