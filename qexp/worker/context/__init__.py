"""`qexp.Context`, which functions receive, and the journals that keep its records, checkpoints and output."""
