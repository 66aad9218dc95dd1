"""What a stranger adds to the study: mechanisms, a task with its data, a figure."""
