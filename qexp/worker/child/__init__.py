"""Handles a message in a child of Celery's pool: claims, runs and records its experiments."""
