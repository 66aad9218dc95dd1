"""What trainings of several frameworks share."""
