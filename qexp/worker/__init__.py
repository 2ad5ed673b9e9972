"""Run experiments on a node: the main process of a worker, its children, and their attempts."""
