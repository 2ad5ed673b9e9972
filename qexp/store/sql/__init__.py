"""Named statements for raw psycopg, one file for each theme, and their loader."""
