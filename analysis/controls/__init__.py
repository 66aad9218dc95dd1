"""What belongs to positive controls alone: the matrix of needs and mechanisms, and claims."""
