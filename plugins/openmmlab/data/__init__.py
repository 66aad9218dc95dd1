"""What the data sets of several tasks are made from."""
