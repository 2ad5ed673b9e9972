"""One attempt, in the process that runs it: the function and all that surrounds it. Knows no Celery."""
