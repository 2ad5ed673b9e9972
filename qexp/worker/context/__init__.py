"""`qexp.Context`, which functions receive, and the journals that keep what a function records, saves and prints."""
