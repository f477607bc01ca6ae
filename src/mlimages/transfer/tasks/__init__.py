"""What is to be learned: one file a task, each with its data, loss, measures and pictures."""
