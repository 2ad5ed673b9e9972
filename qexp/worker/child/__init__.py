"""What a child of a worker does with a message: it claims, runs and records the experiments."""
