"""Run one attempt in its process: call the function, measure it, and restore the process. It does not use Celery."""
