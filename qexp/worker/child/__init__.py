"""Handle a message in a child of Celery's pool: claim, run and record its experiments."""
