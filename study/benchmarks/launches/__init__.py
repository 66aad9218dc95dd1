"""What a GPU would be given to do, counted on a CPU."""
