"""Runs one attempt in its process: calls the function, measures it, and restores the process. Knows no Celery."""
